//! Consumes HTTP requests, `relay.batch.requests.v1` and `relay.outcomes.v1`, produces `relay.requests.v1` and `relay.batch.results.v1`, and
//! owns the wait for an answer; if it dies, accepted requests run on to their end, and clients ask again by idempotency key.
//!
//! The way of a request: [`http`] reads it, `canonical` checks and hashes it, `accept` makes it durable, `slot` follows its
//! answer, `outcomes` reads how it ended, `http::stream` writes it out. `gone` deals with clients that hang up, [`batch`] with those that do not wait.

mod accept;
mod answer;
pub mod batch;
mod canonical;
mod config;
mod error;
mod gateway;
mod gone;
mod heard;
pub mod http;
mod limits;
mod metrics;
mod outcomes;
mod probes;
mod questions;
mod refusal;
mod refused;
mod replies;
mod routes;
mod slot;
mod waiter;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use relay_control::Control;
use relay_runner::{Identity, Runtime};
use tokio::net::TcpListener;

pub use canonical::{Chat, Defaults, canonical_json, chat};
pub use config::{BatchConfig, Config};
pub use error::Error;
pub use gateway::Gateway;
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
    let gateway = Gateway::new(config, runtime, identity, control)?;
    let result = tokio::select! {
        result = serve(&gateway, listener) => result,
        () = background(&gateway) => unreachable!("the background tasks never return"),
    };
    gateway.tasks.close();
    // Last cancels and refusals; what they do not reach, the deadline ends.
    let _ = tokio::time::timeout(LAST_WORDS, gateway.tasks.wait()).await;
    result
}

async fn serve(gateway: &Arc<Gateway>, listener: TcpListener) -> Result<(), Error> {
    let http = async {
        http::serve(Arc::clone(gateway), listener).await;
        Ok(())
    };
    tokio::try_join!(http, batch::run(gateway)).map(|_| ())
}

async fn background(gateway: &Arc<Gateway>) {
    tokio::join!(
        replies::listen(Arc::clone(gateway)),
        replies::answer_fences(Arc::clone(gateway)),
        outcomes::follow(Arc::clone(gateway)),
        heard::listen(Arc::clone(gateway)),
        probes::run(Arc::clone(gateway)),
    );
}
