//! Consumes leased work from both work topics of its pool, produces outcomes, owns the models; streams answers to the ingress
//! that waits. If it dies, its status falls silent, and the scheduler revokes what it held: a request that has shown nothing
//! runs elsewhere, another ends as `worker_lost`.
//!
//! `stage` is the step from work to outcome, `run` one run, `emitter` the answer as it is taken in and `fit` how much of it is kept, `stream` its frames on their way, `meter` what a run has used. `onnx` and `remote` are the
//! backends, `dropped` counts what of an answer did not fit, `catalogue` the models they run, `board` tells of all that a process has, `models` the file that declares them, `capacity` how many requests
//! are asked for at once, `visits` which of them went on with another model. `proxies` tells which proxy stands before an endpoint. `capacity`, `ledger`, `replay`, `price`, `prompt`, `fit`, `proxies` and `supported` are pure; `status` and `listen` speak and hear on the control seam.

mod backend;
mod board;
mod capacity;
mod catalogue;
mod config;
mod dropped;
mod emitter;
mod error;
mod fit;
mod home;
pub mod ledger;
mod listen;
mod meter;
mod metrics;
pub mod models;
mod onnx;
mod price;
mod prompt;
pub mod proxies;
mod remote;
mod replay;
pub mod returned;
mod run;
mod section;
#[cfg(feature = "simulated")]
pub mod simulated;
mod stage;
mod status;
mod stream;
mod supported;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod visits;
mod worker;

use std::sync::Arc;

use futures::future::try_join_all;
use parking_lot::Mutex;
use relay_bus::topics;
use relay_control::Control;
use relay_runner::{Identity, Runtime, StageOptions, run_stage, watch_leaders};
use relay_schemas::{InstanceId, Lane};
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use config::Config;
pub use error::Error;
pub use remote::MOST_BESIDE;
pub use section::Workers;

use crate::board::Board;
use crate::capacity::Lanes;
use crate::catalogue::{Catalogue, Loading, Told};
use crate::ledger::{Ledger, Remembered};
use crate::metrics::Metrics;
use crate::models::{BackendSpec, Models};
use crate::replay::{ReplayBuffer, ReplayLimits};
use crate::run::Runner;
use crate::stage::WorkerStage;
use crate::worker::Worker;

/// What the process hands to a worker.
pub struct Deps {
    /// The shared parts of the process.
    pub runtime: Runtime,
    /// The name of this instance.
    pub identity: Identity,
    /// The control seam.
    pub control: Arc<dyn Control>,
}

/// Records taken beyond the slots: what is passed over, and what a scheduler that just took over may grant too much.
const MARGIN: usize = 64;

/// Works until it is drained, for each pool that is configured.
///
/// # Errors
/// [`Error`]: what nothing but a person mends. Models load in the background; dependencies that are down are waited for.
pub async fn run(workers: impl Into<Workers>, deps: Deps) -> Result<(), Error> {
    let workers = workers.into();
    let runtime = &deps.runtime;
    let several = workers.len() > 1;
    let mut declared = Vec::new();
    let mut names = Vec::new();
    for config in workers.iter() {
        let pool = several.then(|| config.pool.clone());
        let models = config.declared()?;
        names.extend(
            models
                .models
                .keys()
                .map(|model| board::name(model, pool.as_deref())),
        );
        declared.push((config.clone(), models, pool));
    }
    let board = Arc::new(Board::new(names, runtime.health.clone(), runtime.clock.clone()));
    let mut all = Vec::new();
    for (config, models, pool) in declared {
        let deps = Deps {
            runtime: runtime.clone(),
            identity: of_pool(&deps.identity, pool.as_deref()),
            control: deps.control.clone(),
        };
        let board = board.clone();
        let told = Told { board, pool };
        all.push(worker(config, models, deps, told)?);
    }
    host(all, runtime, deps.control.clone()).await
}

/// All workers of a process at their work.
async fn host(workers: Vec<Worker>, runtime: &Runtime, control: Arc<dyn Control>) -> Result<(), Error> {
    let pools: Vec<String> = workers.iter().map(|worker| worker.config.pool.clone()).collect();
    let mut watching = JoinSet::new();
    watching.spawn(watch_leaders(control, runtime.clone(), "pool", move || {
        pools.clone()
    }));
    let running = workers
        .into_iter()
        .map(|worker| work(Arc::new(worker), runtime.clone()));
    try_join_all(running).await?;
    Ok(())
}

/// Schedulers and ingresses know a worker by its name: those of one process have one each.
fn of_pool(identity: &Identity, pool: Option<&str>) -> Identity {
    let instance = match pool {
        Some(pool) => InstanceId::new(format!("{}-{pool}", identity.instance)),
        None => identity.instance.clone(),
    };
    Identity {
        instance,
        ..identity.clone()
    }
}

/// One worker at its work.
async fn work(worker: Arc<Worker>, runtime: Runtime) -> Result<(), Error> {
    let config = &worker.config;
    let mut tasks = JoinSet::new();
    tasks.spawn(listen::cancels(worker.clone()));
    tasks.spawn(listen::revocations(worker.clone()));
    tasks.spawn(listen::replays(worker.clone()));
    tasks.spawn(status::broadcast(
        worker.clone(),
        config.status.every,
        config.status.least,
    ));
    tasks.spawn(tell_of_the_end(worker.clone()));

    // A group for each lane: one over both would balance their sum, and could give a lane to a single worker, whose death
    // no other could stand in for before Kafka noticed it.
    let lane = |lane, topic: String, slots: u32| {
        let name = if lane == Lane::Short { "short" } else { "long" };
        let options = StageOptions {
            max_in_flight: slots as usize + MARGIN,
            ..StageOptions::new(format!("relay.workers.{}.{name}", config.pool), vec![topic])
        };
        let stage = WorkerStage {
            worker: worker.clone(),
            schemas: runtime.schemas.clone(),
            lane,
        };
        run_stage(Arc::new(stage), &runtime, &worker.identity, options)
    };
    tokio::try_join!(
        lane(Lane::Short, topics::work_short(&config.pool), config.short_slots),
        lane(Lane::Long, topics::work_long(&config.pool), config.long_slots),
    )?;
    Ok(())
}

fn worker(mut config: Config, models: Models, deps: Deps, told: Told) -> Result<Worker, Error> {
    let runtime = &deps.runtime;
    let lanes = lanes(&config, &models);
    (config.short_slots, config.long_slots) = (lanes.short, lanes.long);
    let metrics = Metrics::register(&runtime.metrics, &config.pool)?;
    let changed = Arc::new(Notify::new());
    let loading = Loading {
        library: config.library(),
        device: config.device,
        clock: runtime.clock.clone(),
        chance: runtime.chance.clone(),
        counters: remote::Counters {
            not_understood: metrics.chunks_not_understood.clone(),
            dropped: metrics.fields_dropped.clone(),
        },
        changed: changed.clone(),
    };
    let runner = Runner {
        catalogue: Catalogue::start(models, loading, told),
        pool: config.pool.clone(),
        clock: runtime.clock.clone(),
        metrics,
    };
    Ok(assemble(config, deps, runner, changed))
}

/// The configured slots, as far as the models turn them.
fn lanes(config: &Config, models: &Models) -> Lanes {
    let asked = Lanes {
        short: models.slots.short.unwrap_or(config.short_slots),
        long: models.slots.long.unwrap_or(config.long_slots),
    };
    let lanes = asked.within(models.models.values().map(BackendSpec::turns));
    if lanes != asked {
        tracing::info!(
            pool = config.pool,
            short_slots = lanes.short,
            long_slots = lanes.long,
            configured.short_slots = asked.short,
            configured.long_slots = asked.long,
            "more slots are configured than the models turn at once (`max_sequences`, `max_concurrent`): they are cut to that"
        );
    }
    lanes
}

fn assemble(config: Config, deps: Deps, runner: Runner, changed: Arc<Notify>) -> Worker {
    let Deps {
        runtime,
        identity,
        control,
    } = deps;
    let replays = ReplayBuffer::new(ReplayLimits {
        runs: config.replay_runs,
        bytes: config.replay_size.as_usize(),
        keep_ms: relay_clock::millis(config.replay_keep),
    });
    let remembered = Remembered {
        done: config.remembered_runs,
        done_ms: relay_clock::millis(config.cancel_keep),
        cancels: config.remembered_cancels,
        cancels_ms: relay_clock::millis(config.cancel_keep),
    };
    Worker {
        ledger: Mutex::new(Ledger::new(identity.instance.clone(), identity.epoch, remembered)),
        replays: Arc::new(Mutex::new(replays)),
        given_back: Mutex::default(),
        partitions: Mutex::default(),
        changed,
        identity,
        clock: runtime.clock,
        chance: runtime.chance,
        shutdown: runtime.shutdown,
        runner,
        control,
        config,
    }
}

/// That it ends is a change: the scheduler must hear of it before it grants more. What was granted until then is still read while
/// this worker is a lame duck.
async fn tell_of_the_end(worker: Arc<Worker>) {
    worker.shutdown.lame_duck().await;
    worker.changed.notify_one();
}
