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

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use fleetwire_server_core::Core;
use fleetwire_server_core::domain::No;
use fleetwire_server_core::store::Store;
use http::{HeaderMap, header};

mod bounds;
mod events;
mod messages;
mod operations;
mod refusal;

pub use events::{EventAgent, EventBody, EventFilter, EventList};
pub use messages::{
    AgentBody, AgentCreated, AgentFilter, AgentList, AgentReport, ErrorBody, ErrorDetail, KeyBody, ModelBody,
    NewAgentBody, NewKeyBody, NewModelBody, NewReleaseBody, NewTokenBody, NewWorkBody, ReleaseBody,
    ReleaseKeyBody, ResultBody, ResultFilter, ResultList, SecretText, TokenBody, TokenCreated, TokenList,
    WantedModelBody, WorkAgent, WorkBody, WorkExecution, WorkFilter, WorkList,
};
use refusal::Refusal;

/// Bytes that the body of a request may have.
const BODY_LIMIT: usize = 1 << 20;

/// Whose operator is asking; put there by [`admit`].
#[derive(Debug, Clone, Copy)]
struct Tenant(No);

/// The operators' side of a server.
pub fn router<S: Store>(core: Arc<Core<S>>) -> Router {
    let operations = Router::new()
        .route("/agents", get(operations::agents::<S>).post(operations::register::<S>))
        .route("/agents/{vendor}/{id}", get(operations::agent::<S>))
        .route("/agents/{vendor}/{id}/rotate-key", post(operations::rotate_key::<S>))
        .route("/agents/{vendor}/{id}/model", put(operations::assign_model::<S>))
        .route("/agents/{vendor}/{id}/work", post(operations::queue_work::<S>))
        .route("/work", get(operations::work::<S>))
        .route("/work/{id}", get(operations::work_named::<S>))
        .route("/work/{id}/cancel", post(operations::cancel_work::<S>))
        .route("/results", get(operations::results::<S>))
        .route("/events", get(events::events::<S>))
        .route("/tokens", get(operations::tokens::<S>).post(operations::issue_token::<S>))
        .route("/tokens/{id}", delete(operations::revoke_token::<S>))
        .route("/keys", post(operations::issue_key::<S>))
        .route("/models", post(operations::add_model::<S>))
        .route("/releases", post(operations::add_release::<S>))
        .route("/release-key", get(operations::release_key::<S>))
        .fallback(unrouted)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(Arc::clone(&core), admit::<S>));
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(operations::ready::<S>))
        .nest("/control/v1", operations)
        .fallback(unrouted)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(core)
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
    next.run(request).await
}

/// The bearer token that a request presents. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}
