//! Consumes HTTP requests, `relay.batch.requests.v1` and `relay.outcomes.v1`, produces `relay.requests.v1` and `relay.batch.results.v1`, and
//! owns the wait for an answer; if it dies, accepted requests run on to their end, and clients ask again by idempotency key.
//!
//! The way of a request: `http` reads it, `admission` checks it and makes it durable, `answers` follows its answer and what the
//! log says of its end, `http` writes it out in the form of its operation (`relay-api`). `batch` deals with the clients that do not wait, `cluster` with
//! what is known of the world around. `compose` puts the parts together, and `assembly` makes of them what can be asked without a socket.

mod access;
mod admission;
mod answers;
mod assembly;
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

use relay_control::Control;
use relay_runner::{Identity, Runtime, serve_http};
use tokio::net::TcpListener;

pub use admission::request::{Rules, asked};
pub use assembly::{Assembled, Tasks, assemble};
pub use batch::name::is_told;
pub use config::Config;
pub use error::Error;
pub use refusal::Refusal;

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
    let Assembled {
        router,
        connections,
        tasks,
    } = assemble(&config, &runtime, &identity, &control)?;
    let Runtime { clock, shutdown, .. } = runtime;
    Box::pin(tasks.beside(serve_http(router, listener, connections, clock, shutdown))).await
}
