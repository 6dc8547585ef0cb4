//! Runs the core of each pool: reads the log and the control seam into it, and does what it decides.
//!
//! From the ground up: `context` (what tasks have in common), `sleep`, `records` (as they
//! are written), `backlog`, `publisher`, `outbox` (what is on its way out), `garbage`, `reader` (records into the core), `doubt`
//! (the questions before a revocation), `seam` (whether it works), `listeners`, `heartbeat`, `election` (who leads), `recover`, `perform`; on top the loops
//! `lead` and `standby`.

mod backlog;
mod context;
mod doubt;
mod election;
mod garbage;
mod heartbeat;
mod lead;
mod listeners;
mod metrics;
mod outbox;
mod perform;
mod publisher;
mod reader;
mod records;
mod recover;
mod seam;
mod sleep;
mod standby;

pub(crate) use metrics::{Metrics, PoolMetrics};
pub(crate) use standby::run;
