//! Why the service ends other than by a drain.

use relay_runner::RunnerError;
use relay_settings::FileError;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The models file.
    #[error(transparent)]
    Models(#[from] FileError),
    /// A metric could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The runner cannot go on.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}
