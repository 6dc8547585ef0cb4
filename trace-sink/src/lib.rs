//! The trace sink: consumes `relay.outcomes.v1`, produces nothing on the bus, owns the traces and who won each request.
//! If it dies, answers go on; traces, and answers to "who won?", wait for the next instance to go on where it stopped.

mod admin;
mod condition;
mod config;
mod error;
mod folding;
mod metrics;
mod retention;
mod winners;

use std::sync::Arc;

pub use admin::admin_router;
pub use config::Config;
pub use error::Error;
use relay_control::{Control, subjects};
use relay_runner::{Identity, Runtime, serve_forever};
use relay_store::Tables;

use crate::condition::Condition;
use crate::folding::Ground;
use crate::metrics::Metrics;
use crate::winners::KnownOutcomes;

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
    let condition = Arc::new(Condition::new(runtime.health.clone(), metrics.degraded()));
    let ground = Ground {
        runtime: runtime.clone(),
        identity,
        outcomes: Arc::clone(&tables.outcomes),
        condition: Arc::clone(&condition),
        metrics: metrics.clone(),
        limits: config.limits(),
    };
    let known = KnownOutcomes::new(&tables, Arc::clone(&runtime.bus), Arc::clone(&condition));
    let seam = Arc::clone(&control);
    let answering = serve_forever(
        control,
        subjects::WINNER.to_owned(),
        Some(WINNERS),
        runtime.chance.clone(),
        move |query| {
            let (known, limit) = (known.clone(), seam.max_payload());
            async move { known.answer(query, limit).await }
        },
    );
    let watching = condition.watch(&*tables.database, config.probe_interval);
    let retaining = retention::run(&config, &tables, &runtime.clock, &metrics);
    tokio::select! {
        biased;
        ended = folding::run(&ground) => Ok(ended?),
        () = answering => unreachable!("it answers for ever"),
        () = watching => unreachable!("it watches for ever"),
        () = retaining => unreachable!("it tidies for ever"),
    }
}
