//! The trace sink: consumes `relay.outcomes.v1`, produces nothing on the bus, owns the traces and who won each request.
//! If it dies, answers go on; traces, and answers to "who won?", wait for the next instance to go on where it stopped.

mod admin;
mod batcher;
mod config;
mod error;
mod metrics;
mod retention;
mod stage;
mod store_health;
mod winners;

use std::sync::Arc;

pub use admin::admin_router;
pub use config::Config;
pub use error::Error;
use relay_bus::topics;
use relay_control::{Control, subjects};
use relay_runner::{Identity, Runtime, StageOptions, run_stage, serve_forever};
use relay_store::Tables;

use crate::batcher::Batcher;
use crate::metrics::Metrics;
use crate::stage::FoldStage;

/// The consumer group.
const GROUP: &str = "relay.trace-sink";
/// The queue group of those who can say who won.
const WINNERS: &str = "trace-sink";

/// What the sink is handed by the process that hosts it.
pub struct Deps {
    /// The shared parts of the process.
    pub runtime: Runtime,
    /// Who this instance is.
    pub identity: Identity,
    /// Where questions come from.
    pub control: Arc<dyn Control>,
    /// Where outcomes and traces are kept.
    pub tables: Tables,
}

/// Runs the sink until a drain is over. A store, bus or control seam that is away is waited for.
pub async fn run(config: Config, deps: Deps) -> Result<(), Error> {
    let Deps {
        runtime,
        identity,
        control,
        tables,
    } = deps;
    let metrics = Metrics::register(&runtime.metrics)?;
    let schemas = Arc::clone(&runtime.schemas);
    let (batcher, folding) = Batcher::new(&config, Arc::clone(&tables.outcomes), schemas, metrics.clone());
    let stage = FoldStage { batcher };
    // Ends with the stage, which holds the other end.
    let folding = tokio::spawn(folding.run());
    let options = StageOptions {
        max_in_flight: config.max_in_flight,
        ..StageOptions::new(GROUP, vec![topics::OUTCOMES.to_owned()])
    };
    let (traces, seam) = (Arc::clone(&tables.traces), Arc::clone(&control));
    let answering = serve_forever(
        control,
        subjects::WINNER.to_owned(),
        Some(WINNERS),
        move |query| winners::answer(Arc::clone(&traces), query, seam.max_payload()),
    );
    let health = store_health::watch(&config, &*tables.database, &runtime.health);
    let retaining = retention::run(&config, &tables, &runtime.clock, &metrics);
    tokio::select! {
        ended = run_stage(Arc::new(stage), &runtime, &identity, options) => Ok(ended?),
        _ = folding => Err(Error::BatcherEnded),
        () = answering => unreachable!("it answers for ever"),
        () = health => unreachable!("it watches for ever"),
        () = retaining => unreachable!("it tidies for ever"),
    }
}
