//! The agents' side and the control API in an axum application of one's own.
//! `cargo run -p fleetwire-server --example mount`

#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use fleetwire_server::{AgentService, SystemClock, SystemEntropy, control};
use fleetwire_server_core::{Config, Core};
use fleetwire_store_sqlite::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("fleet.sqlite")?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy::default()));
    let (core, operator_token) = Core::start(store, clock, entropy, Config::default()).await?;
    let core = Arc::new(core);
    let app = Router::new()
        .route("/hello", get(|| async { "my own route" }))
        .merge(control::router(Arc::clone(&core)))
        .fallback_service(AgentService::new(Arc::clone(&core)));

    if let Some(token) = operator_token {
        println!("the operator's token: {token}");
    }
    let flushed = Arc::clone(&core);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // Leases that could not be written are kept for the next time.
            let _ = flushed.flush().await;
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8787").await?;
    println!("serving on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    core.flush().await?;
    Ok(())
}
