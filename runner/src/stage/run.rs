//! Puts the parts of a stage together and runs them.

use std::sync::Arc;

use super::attempt::Attempts;
use super::contract::Stage;
use super::error::RunnerError;
use super::host::Host;
use super::intake::Intake;
use super::lookup::Lookup;
use super::metrics::Metrics;
use super::options::StageOptions;
use super::outages::Outages;
use super::publisher::Publisher;
use crate::runtime::{Identity, Runtime};

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
        chance: runtime.chance.clone(),
    };
    let publisher = Publisher {
        stage,
        bus: runtime.bus.clone(),
        clock: runtime.clock.clone(),
        chance: runtime.chance.clone(),
        health: runtime.health.clone(),
        identity: identity.clone(),
        options,
        metrics,
    };
    Host::new(intake, attempts, publisher, runtime.shutdown.clone())
        .run()
        .await
}
