//! A worker of a simulation: the whole service, on models that answer by a script instead of a computation.
//!
//! Compiled only with the feature `simulated`. Everything follows from a seed. `script` draws what becomes of a run, `backend` acts by it and
//! keeps the book of what was begun.

mod backend;
mod script;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

pub use self::backend::{Begun, ScriptedBackend, Scripts};
pub use self::script::{Faults, Pace};
use crate::backend::Backend as _;
use crate::board::Board;
use crate::capacity::Lanes;
use crate::catalogue::{Catalogue, LoadedModel, Told};
use crate::metrics::Metrics;
use crate::models::Price;
use crate::run::Runner;
use crate::{Config, Deps, Error, assemble, host};

/// A model of a simulation.
pub struct ScriptedModel {
    /// What runs it.
    pub backend: Arc<ScriptedBackend>,
    /// What it costs.
    pub price: Price,
}

/// Works until it is drained, as [`crate::run`] does, with these models; what `config` says of where models are is not looked at.
///
/// # Errors
/// [`Error`]: what nothing but a person mends.
pub async fn run_with(
    mut config: Config,
    deps: Deps,
    models: BTreeMap<String, ScriptedModel>,
) -> Result<(), Error> {
    let (runtime, control) = (deps.runtime.clone(), deps.control.clone());
    let asked = Lanes {
        short: config.short_slots,
        long: config.long_slots,
    };
    let lanes = asked.within(models.values().map(|model| model.backend.turns()));
    (config.short_slots, config.long_slots) = (lanes.short, lanes.long);
    let names = models.keys().cloned().collect();
    let board = Arc::new(Board::new(names, runtime.health.clone(), runtime.clock.clone()));
    let told = Told { board, pool: None };
    let changed = Arc::new(Notify::new());
    let loaded = |(name, model): (String, ScriptedModel)| {
        let ScriptedModel { backend, price } = model;
        (name, LoadedModel { backend, price })
    };
    let runner = Runner {
        catalogue: Catalogue::of(models.into_iter().map(loaded).collect(), &changed, told),
        pool: config.pool.clone(),
        clock: runtime.clock.clone(),
        metrics: Metrics::register(&runtime.metrics, &config.pool)?,
    };
    let worker = assemble(config, deps, runner, changed);
    host(vec![worker], &runtime, control).await
}
