//! Consumes `relay.requests.v1`, produces `relay.planned.v1` (and outcomes of what gets no plan), owns `relay.policies.v1`;
//! if it dies, accepted requests wait in the log and the next instance plans them the same way.

mod announce;
mod config;
mod decide;
mod decoding;
mod error;
mod explain;
mod features;
mod hashing;
mod load;
mod metrics;
mod plan;
pub mod policy;
mod recorded;
mod refusal;
mod reload;
mod rules;
mod stage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use config::{Config, PolicyFile};
pub use decide::decide;
pub use error::Error;
pub use explain::{Explanation, explain};
pub use features::Features;
pub use load::{LoadError, load, read_policy};
pub use plan::{plan, replan};
pub use policy::{MOST_PLANNING, Policy};
pub use recorded::recorded_policies;
pub use refusal::Refusal;
use relay_bus::topics::REQUESTS;
use relay_control::Control;
use relay_runner::{Identity, PlannedModel, Runtime, StageOptions, run_stage, watch_leaders, watch_models};
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::Metrics;
use crate::reload::Follower;
use crate::stage::PlannerStage;

/// The consumer group of all planners.
pub const GROUP: &str = "relay.planner";

/// What the host hands over.
pub struct Deps {
    /// The process's shared parts.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// The reply seam.
    pub control: Arc<dyn Control>,
}

/// Runs the planner until a drain is over.
///
/// # Errors
/// [`Error`]: a policy that is none at the start, or what the runner cannot mend.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let Deps {
        runtime,
        identity,
        control,
    } = deps;
    let metrics = Metrics::register(&runtime.metrics)?;
    let Some(policy) = reload::first(&config.policy, &runtime).await? else {
        return Ok(());
    };
    let follower = Follower {
        file: config.policy.clone(),
        every: config.reload.max(Duration::from_millis(1)),
        runtime: runtime.clone(),
        in_force: policy.clone(),
        metrics: metrics.clone(),
    };
    let in_force = policy.clone();
    let pools = move || in_force.get().pools().map(str::to_owned).collect();
    let watching = watch_leaders(control.clone(), runtime.clone(), "pools", pools);
    let in_force = policy.clone();
    let models = move || {
        let policy = in_force.get();
        let planned = policy.planned_models().into_iter();
        planned
            .map(|(pool, model)| PlannedModel {
                pool: pool.to_owned(),
                model: model.to_owned(),
            })
            .collect()
    };
    let watching_models = watch_models(control.clone(), runtime.clone(), "planned_models", models);
    let telling = announce::run(
        control.clone(),
        identity.clone(),
        policy.clone(),
        runtime.clock.clone(),
    );
    let stage = Arc::new(PlannerStage {
        policy,
        identity: identity.clone(),
        schemas: runtime.schemas.clone(),
        control,
        metrics,
        clock: runtime.clock.clone(),
    });
    let options = StageOptions {
        max_in_flight: config.max_in_flight,
        ..StageOptions::new(GROUP, vec![REQUESTS.to_owned()])
    };
    // The follower ends with the drain, and both with the stage when that fails.
    let _following = AbortOnDropHandle::new(tokio::spawn(follower.run()));
    let _watching = AbortOnDropHandle::new(tokio::spawn(watching));
    let _telling = AbortOnDropHandle::new(tokio::spawn(telling));
    let _watching_models = AbortOnDropHandle::new(tokio::spawn(watching_models));
    Ok(run_stage(stage, &runtime, &identity, options).await?)
}
