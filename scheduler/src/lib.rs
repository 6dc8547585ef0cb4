//! Consumes `ready`, its own work topics and outcomes, produces work, `ready` of another pool and outcomes, owns who runs what and
//! when; if it dies, a standby rebuilds the queues from the log and goes on.
//!
//! `core` decides and does nothing else; `shell` brings the log in and decisions out, as a stateful stage of the runner's, whose
//! instances agree by the topic in `leadership` which of them leads.

pub mod core;

mod config;
mod deps;
mod error;
mod leadership;
mod shell;

/// The records that the tests of this crate share, as its test suite has them.
#[cfg(test)]
#[path = "../tests/suite/records.rs"]
mod records;
#[cfg(test)]
extern crate self as relay_scheduler;

use std::sync::Arc;

use tokio::task::JoinSet;

pub use config::{Config, Fairness, LeadershipConfig, Leases, Limits, Remembered, Retry, Weights};
pub use deps::Deps;
pub use error::Error;
pub use leadership::SchedulerTopic;

/// Leads or stands by for the configured pools until a drain is over.
///
/// # Errors
/// [`Error`]: what nothing but a person mends. A dependency that is down is waited for.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let metrics = Arc::new(shell::Metrics::register(&deps.runtime.metrics)?);
    let (config, deps) = (Arc::new(config), Arc::new(deps));
    let mut pools = JoinSet::new();
    for name in config.pools.clone() {
        let (config, deps) = (config.clone(), deps.clone());
        let metrics = shell::PoolMetrics::new(metrics.clone(), &name);
        pools.spawn(async move { shell::run(config, &deps, &name, metrics).await });
    }
    while let Some(ended) = pools.join_next().await {
        ended.map_err(|error| Error::Task(error.to_string()))??;
    }
    Ok(())
}
