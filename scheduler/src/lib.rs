//! Consumes `ready`, produces work and outcomes, owns who runs what and when; if it dies, a standby rebuilds the queues from the log and goes on.
//!
//! `core` decides and does nothing else. `pool` stands by and `lead` leads, as `leadership` reads it in the log; `recover`
//! opens a core on a snapshot and the log's tail, `feed` and `inputs` bring the log in, `outbox` and `publisher` bring
//! decisions out, and `doubt` asks before a lease is revoked.

pub mod core;

mod backlog;
mod config;
mod doubt;
mod error;
mod feed;
mod inputs;
mod lead;
pub mod leadership;
mod metrics;
mod outbox;
mod pool;
mod publisher;
mod recover;

use std::sync::Arc;

use relay_control::Control;
use relay_runner::{Identity, Runtime};
use tokio::task::JoinSet;

pub use config::{Config, Fairness};
pub use error::Error;

/// What the process that hosts the scheduler hands to it.
pub struct Deps {
    /// Bus, schemas, health, metrics, shutdown.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// Statuses, cancels, questions and final frames.
    pub control: Arc<dyn Control>,
}

/// Leads or stands by for the configured pools until a drain is over.
///
/// # Errors
/// [`Error`]: what nothing but a person mends. A dependency that is down is waited for.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let metrics = Arc::new(metrics::Metrics::register(&deps.runtime.metrics)?);
    let (config, deps) = (Arc::new(config), Arc::new(deps));
    let mut pools = JoinSet::new();
    for name in config.pools.clone() {
        let (config, deps) = (config.clone(), deps.clone());
        let metrics = metrics::PoolMetrics::new(metrics.clone(), &name);
        pools.spawn(async move {
            let opened = pool::Pool::open(config, &deps, &name, metrics);
            tokio::select! {
                () = deps.runtime.shutdown.draining() => Ok(()),
                opened = opened => opened?.run().await,
            }
        });
    }
    while let Some(ended) = pools.join_next().await {
        ended.map_err(|error| Error::Task(error.to_string()))??;
    }
    Ok(())
}
