//! The operators' side: a JSON API under `/control/v1`, and the probes `/healthz` and `/readyz`.
//!
//! Everything under `/control/v1` wants `Authorization: Bearer fwo_…`; who has none is told so before a body is
//! read. Every refusal has the form of an [`ErrorBody`].
//!
//! ```
//! use std::sync::Arc;
//! use fleetwire_server::control;
//! use fleetwire_server_core::{Core, store::Store};
//!
//! # fn app<S: Store>(core: Arc<Core<S>>) -> axum::Router {
//! // Without the agents' side, say on a port of its own.
//! axum::Router::new().merge(control::router(core))
//! # }
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Router};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::No;
use fleetwire_server_core::store::Store;
use http::{HeaderMap, header};

mod batches;
mod bounds;
mod events;
mod files;
mod history;
mod instructions;
mod messages;
mod operations;
mod refusal;

use crate::objects::Objects;
use crate::through::Through;
pub use batches::{AnnotationBody, BatchBody, BatchList, BatchQuery, ImageBody, ImageList, ImageQuery};
pub use events::{EventAgent, EventBody, EventFilter, EventList};
use files::Files;
pub use files::{
    BinaryBody, BinaryList, BinaryUpload, ModelList, ModelUpload, ReleaseList, ReleaseUpload, RetireKey,
    SigningKeyBody, SigningKeyList,
};
pub use history::{HistoryBody, HistoryQuery, KeptReport};
pub use instructions::{InstructionText, InstructionsBody, NewInstructionsBody};
pub use messages::{
    AgentBody, AgentCreated, AgentFilter, AgentList, AgentReport, Bound, ErrorBody, ErrorDetail, KeyBody,
    ModelBody, NewAgentBody, NewKeyBody, NewModelBody, NewReleaseBody, NewTokenBody, NewWorkBody,
    ReleaseBody, ReleaseKeyBody, ResultBody, ResultFilter, ResultList, SecretText, TokenBody, TokenCreated,
    TokenList, WantedModelBody, WorkAgent, WorkBody, WorkExecution, WorkFilter, WorkList, WorkReportBody,
    WorkReported,
};
use refusal::Refusal;

/// Bytes that the body of a request may have.
const BODY_LIMIT: usize = 1 << 20;

/// Whose operator is asking; put there by [`admit`].
#[derive(Debug, Clone, Copy)]
struct Tenant(No);

/// Where files are fetched whose addresses are given out for a while.
pub(crate) const OBJECTS: &str = "/objects/";

/// The operators' side of a server that keeps no files.
pub fn router<S: Store>(core: Arc<Core<S>>) -> Router {
    router_with_files(core, None, crate::service::PATIENCE)
}

/// The operators' side of a server, with the folder of the files that operators bring. `patience` is how long each
/// piece of one may take to arrive.
pub fn router_with_files<S: Store>(
    core: Arc<Core<S>>,
    objects: Option<Objects>,
    patience: Duration,
) -> Router {
    let operations = Router::new()
        .route("/agents", get(operations::agents::<S>).post(operations::register::<S>))
        .route("/agents/{vendor}/{id}", get(operations::agent::<S>))
        .route("/agents/{vendor}/{id}/history", get(history::history::<S>))
        .route("/batches", get(batches::batches::<S>))
        .route("/batches/{id}", get(batches::batch::<S>))
        .route("/batches/{id}/close", post(batches::close_batch::<S>))
        .route("/batches/{id}/images", get(batches::images::<S>))
        .route("/agents/{vendor}/{id}/rotate-key", post(operations::rotate_key::<S>))
        .route("/agents/{vendor}/{id}/disable", post(operations::disable::<S>))
        .route("/agents/{vendor}/{id}/enable", post(operations::enable::<S>))
        .route("/agents/{vendor}/{id}/decommission", post(operations::decommission::<S>))
        .route("/agents/{vendor}/{id}/revoke-keys", post(operations::revoke_keys::<S>))
        .route("/agents/{vendor}/{id}/model", put(operations::assign_model::<S>))
        .route("/agents/{vendor}/{id}/work", post(operations::queue_work::<S>))
        .route("/work", get(operations::work::<S>))
        .route("/work/{id}", get(operations::work_named::<S>))
        .route("/work/{id}/cancel", post(operations::cancel_work::<S>))
        .route("/work/{id}/report", post(operations::report_work::<S>))
        .route(
            "/instructions",
            get(instructions::of_all::<S>)
                .put(instructions::set_for_all::<S>)
                .delete(instructions::drop_for_all::<S>),
        )
        .route(
            "/agents/{vendor}/{id}/instructions",
            get(instructions::of_agent::<S>)
                .put(instructions::set_for_agent::<S>)
                .delete(instructions::drop_for_agent::<S>),
        )
        .route("/results", get(operations::results::<S>))
        .route("/events", get(events::events::<S>))
        .route("/tokens", get(operations::tokens::<S>).post(operations::issue_token::<S>))
        .route("/tokens/{id}", delete(operations::revoke_token::<S>))
        .route("/keys", post(operations::issue_key::<S>))
        .route("/models", get(files::models::<S>).post(files::add_model::<S>))
        .route("/models/{id}", delete(files::remove_model::<S>))
        .route("/releases", get(files::releases::<S>).post(files::add_release::<S>))
        .route("/releases/{number}", delete(files::remove_release::<S>))
        .route("/binaries", get(files::binaries::<S>).post(files::add_binary::<S>))
        .route("/binaries/{name}", delete(files::remove_binary::<S>))
        .route("/release-key", get(files::release_key::<S>))
        .route("/release-keys", get(files::release_keys::<S>).post(files::rotate_release_key::<S>))
        .route("/release-keys/{number}", delete(files::retire_release_key::<S>))
        .fallback(unrouted)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), admit::<S>));
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(operations::ready::<S>))
        .route("/objects/{folder}/{sha256}", get(files::object::<S>))
        .nest("/control/v1", operations)
        .fallback(unrouted)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Files { objects, patience }))
        .with_state(core)
}

/// The answer to somebody who has presented too many wrong tokens.
pub(crate) fn put_off(wait: Option<Duration>) -> Response {
    let mut response = Refusal::limited().into_response();
    let seconds = wait.unwrap_or_default().as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

async fn unrouted() -> Refusal {
    Refusal::not_found("there is nothing at this address")
}

async fn method_not_allowed() -> Refusal {
    Refusal::method_not_allowed()
}

/// Lets operators pass. It runs before any extractor, so that nothing of a stranger's body is read.
async fn admit<S: Store>(State(core): State<Arc<Core<S>>>, mut request: Request, next: Next) -> Response {
    let Some(tenant) = bearer_token(request.headers()).and_then(|token| core.operator_tenant(token)) else {
        return Refusal::unauthenticated().into_response();
    };
    request.extensions_mut().insert(Tenant(tenant));
    Through::new(next.run(request)).await
}

/// The bearer token that a request presents. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}
