//! Runs the core of each pool: reads the log and the control seam into it, and does what it decides.
//!
//! Leading, publishing in order and taking over are the runner's (`relay_runner`'s stateful stage). From the ground up: `context`
//! (what tasks have in common), `records` (as they are written), `outlets` (what follows once they are), `outbox` (what is on its
//! way out), `garbage`, `reader` (records into the core), `doubt` (the questions before a revocation), `seam` (whether it works),
//! `standstill` (of a takeover), `listeners`, `recover`, `perform`; on top the loop `lead`, and `stage`.

mod context;
mod doubt;
mod garbage;
mod lead;
mod listeners;
mod metrics;
mod outbox;
mod outlets;
mod perform;
mod reader;
mod records;
mod recover;
mod seam;
mod stage;
mod standstill;

pub(crate) use metrics::{Metrics, PoolMetrics};
pub(crate) use stage::run;
