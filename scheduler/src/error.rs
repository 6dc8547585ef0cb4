//! Why the scheduler ends other than by a drain.

use relay_bus::BusError;
use relay_runner::PublisherError;

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus failed in a way that waiting does not mend.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What is published cannot be.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A task of the scheduler's ended unexpectedly.
    #[error("a task ended unexpectedly: {0}")]
    Task(String),
}
