//! Why the service ends other than by a drain.

use relay_runner::RunnerError;
use relay_settings::FileError;

use crate::home;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The models file.
    #[error(transparent)]
    Models(#[from] FileError),
    /// No models file is named, and none came along.
    #[error(
        "cannot read {path}: {reason}; looked for {places}; name a models file as `workers.models`, or the folder that holds Relay's models/ \
         and lib/ by {}",
        home::VARIABLE
    )]
    NoModels {
        /// Where it was looked for last.
        path: String,
        /// What the system says.
        reason: String,
        /// Where it was looked for, in order.
        places: String,
    },
    /// A metric could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The runner cannot go on.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}
