//! The stage runner: hosts a [`Stage`] on a bus.
//!
//! It owns publish-then-commit, the four error classes, dead letters, trace context, drain and the standard metrics, so that
//! a service only decides. Delivery is at least once: what was not committed when the process died is decided again.
//!
//! `contract` is what a service implements, `host` is the loop, `attempt` one record's way to a verdict, `publisher` what happens with verdicts; `progress`, `class`
//! and `shrink` are the pure decisions between them.

mod attempt;
mod class;
mod contract;
mod error;
mod host;
mod intake;
mod lookup;
mod metrics;
mod options;
mod outages;
mod progress;
mod publisher;
mod shrink;

use std::sync::Arc;

pub use contract::{Stage, StageError, Step};
pub use error::RunnerError;
pub use options::StageOptions;

use self::attempt::Attempts;
use self::host::Host;
use self::intake::Intake;
use self::lookup::Lookup;
use self::metrics::Metrics;
use self::outages::Outages;
use self::publisher::Publisher;
use crate::{Identity, Runtime};

/// The bus as `/readyz` names it.
const BUS: &str = "bus";

/// Runs `stage` until a drain is over, or the stage or the bus cannot go on.
///
/// # Errors
/// [`RunnerError`]: what nothing but a person mends. A dependency that is down, the bus included, is waited for.
pub async fn run_stage<S: Stage>(
    stage: Arc<S>,
    runtime: &Runtime,
    identity: &Identity,
    options: StageOptions,
) -> Result<(), RunnerError> {
    let options = Arc::new(options);
    let metrics = Metrics::register(&runtime.metrics, identity.service, &options.group)?;
    let metrics = Arc::new(metrics);
    let Some(intake) = Intake::open(runtime, options.clone()).await? else {
        return Ok(());
    };
    let attempts = Attempts {
        stage: stage.clone(),
        options: options.clone(),
        outages: Outages::new(runtime.health.clone()),
        lookup: Lookup::new(runtime),
        metrics: metrics.clone(),
        clock: runtime.clock.clone(),
    };
    let publisher = Publisher {
        stage,
        bus: runtime.bus.clone(),
        clock: runtime.clock.clone(),
        health: runtime.health.clone(),
        identity: identity.clone(),
        options,
        metrics,
    };
    Host::new(intake, attempts, publisher, runtime.shutdown.clone())
        .run()
        .await
}
