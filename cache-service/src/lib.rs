//! Consumes `relay.planned.v1` and `relay.outcomes.v1`, produces `relay.ready.<pool>.v1` (and outcomes of hits), owns the exact
//! cache; if it dies, planned requests wait in the log, and what only its memory held is answered by a worker again.

mod breaker;
mod config;
pub mod decide;
pub mod eligibility;
pub mod entry;
mod error;
mod fill;
mod levels;
mod lookup;
mod metrics;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::{Config, RedisConfig};
pub use error::Error;
pub use levels::{check_redis, reach_redis};
use relay_bus::topics::{OUTCOMES, PLANNED};
use relay_control::Control;
use relay_runner::{Identity, Runtime, StageOptions, Winners, run_stage};

use crate::fill::FillStage;
use crate::levels::{Levels, Lru, RedisLevel};
use crate::lookup::LookupStage;
use crate::metrics::Metrics;

/// The consumer group of all lookups.
pub const GROUP: &str = "relay.cache-service";
/// The consumer group of all fills.
pub const FILL_GROUP: &str = "relay.cache-service.fill";

/// What the host hands over.
pub struct Deps {
    /// The process's shared parts.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// The reply seam.
    pub control: Arc<dyn Control>,
}

/// Runs the cache service until a drain is over.
///
/// # Errors
/// [`Error`]: a setting that cannot work, or what the runner cannot mend. A Redis that is away is no error.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let Deps {
        runtime,
        identity,
        control,
    } = deps;
    let metrics = Metrics::register(&runtime.metrics)?;
    let levels = Arc::new(levels(&config, &runtime, &metrics)?);
    let lookup = LookupStage {
        levels: levels.clone(),
        identity: identity.clone(),
        schemas: runtime.schemas.clone(),
        clock: runtime.clock.clone(),
        control,
        metrics: metrics.clone(),
    };
    let fill = FillStage {
        levels,
        clock: runtime.clock.clone(),
        winners: Winners::new(
            runtime.bus.clone(),
            runtime.schemas.clone(),
            config.remembered_outcomes,
        ),
        schemas: runtime.schemas.clone(),
        metrics,
        max_entry_bytes: config.max_entry.as_usize(),
    };
    let looking_up = StageOptions {
        max_in_flight: config.max_in_flight,
        ..StageOptions::new(GROUP, vec![PLANNED.to_owned()])
    };
    let filling = StageOptions {
        max_in_flight: config.max_in_flight,
        in_order: true,
        ..StageOptions::new(FILL_GROUP, vec![OUTCOMES.to_owned()])
    };
    tokio::try_join!(
        run_stage(Arc::new(lookup), &runtime, &identity, looking_up),
        run_stage(Arc::new(fill), &runtime, &identity, filling),
    )?;
    Ok(())
}

fn levels(config: &Config, runtime: &Runtime, metrics: &Metrics) -> Result<Levels, Error> {
    let connect = |redis| {
        let (clock, health) = (runtime.clock.clone(), runtime.health.clone());
        RedisLevel::new(redis, config.max_entry.as_usize(), clock, metrics.clone(), health)
    };
    let redis = config.redis.as_ref().map(connect).transpose()?;
    Ok(Levels {
        lru: Lru::new(config.lru_size.as_u64()),
        redis,
        metrics: metrics.clone(),
    })
}
