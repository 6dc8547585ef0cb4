//! Why a runner ends other than by a drain.

use relay_bus::BusError;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The stage said that it cannot go on.
    #[error("the stage cannot go on: {0}")]
    Stage(String),
    /// The bus failed in a way that waiting does not mend.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The runner's metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
