//! Why the planner ends other than by a drain.

use relay_runner::RunnerError;

use crate::LoadError;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no good policy to start with.
    #[error("the policy: {0}")]
    Policy(#[from] LoadError),
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The stage ended.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}
