//! Consumes HTTP requests, `relay.batch.requests.v1` and `relay.outcomes.v1`, produces `relay.requests.v1` and `relay.batch.results.v1`, and
//! owns the wait for an answer; if it dies, accepted requests run on to their end, and clients ask again by idempotency key.
//!
//! The way of a request: `http` reads it, `admission` checks it and makes it durable, `answers` follows its answer and what the
//! log says of its end, `http` writes it out in the form of its operation (`relay-api`). `batch` deals with the clients that do not wait, `cluster` with
//! what is known of the world around. `compose` puts the parts together.

mod access;
mod admission;
mod answers;
mod batch;
mod cluster;
mod compose;
mod config;
mod error;
mod http;
mod ids;
mod labels;
mod metrics;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use relay_control::Control;
use relay_runner::{Identity, Runtime, ops_router, serve_http};
use tokio::net::TcpListener;

pub use admission::request::{Rules, asked};
pub use batch::name::is_told;
pub use config::Config;
pub use error::Error;
pub use refusal::Refusal;

use compose::Ingress;

/// What an ingress needs from the process that hosts it.
pub struct Deps {
    /// Log, schemas, health, metrics, shutdown.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// Replies, statuses, cancels.
    pub control: Arc<dyn Control>,
    /// Where clients connect.
    pub listener: TcpListener,
}

/// Longest wait for what clients left behind, once everything else has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves until a drain is over.
///
/// # Errors
/// If the batch half fails for good.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let Deps {
        runtime,
        identity,
        control,
        listener,
    } = deps;
    let Ingress {
        app,
        connections,
        batch,
        background,
        tasks,
    } = compose::compose(&config, &runtime, &identity, &control)?;
    let http = async {
        let ops = ops_router(runtime.clone(), config.metrics_enabled);
        let (clock, shutdown) = (runtime.clock.clone(), runtime.shutdown.clone());
        let router = http::router(app, ops, shutdown.clone());
        serve_http(router, listener, connections, clock, shutdown).await;
        Ok(())
    };
    let lines = async {
        match batch {
            Some(batch) => batch.run(&runtime, &identity).await,
            None => Ok(()),
        }
    };
    let result = tokio::select! {
        biased;
        result = async { tokio::try_join!(http, lines) } => result,
        error = background => Err(error.into()),
    };
    tasks.close();
    // Last cancels and refusals; what they do not reach, the deadline ends.
    let _ = tokio::time::timeout(LAST_WORDS, tasks.wait()).await;
    Ok(result.map(|_| ())?)
}
