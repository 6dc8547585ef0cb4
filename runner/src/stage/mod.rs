//! The stage runner: hosts a [`Stage`] on a bus.
//!
//! It owns publish-then-commit, the four error classes, dead letters, trace context, drain and the standard metrics, so that
//! a service only decides. Delivery is at least once: what was not committed when the process died is decided again.
//!
//! `contract` is what a service implements, `run` puts the parts together, `host` is the loop, `attempt` one record's way to a
//! verdict, `publisher` what happens with verdicts, `recall` with what was put off; `progress`, `class` and `shrink` are the pure decisions between them.

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
mod recall;
mod run;
mod shrink;

pub use contract::{Stage, StageError, Step};
pub use error::RunnerError;
pub use options::StageOptions;
pub use run::run_stage;
