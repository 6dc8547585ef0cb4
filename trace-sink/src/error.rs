//! Why the sink ends other than by a drain.

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot go on.
    #[error(transparent)]
    Bus(#[from] relay_bus::BusError),
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}
