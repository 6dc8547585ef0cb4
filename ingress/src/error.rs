//! Why an ingress could not start or go on.

/// Why an ingress could not start or go on. A missing dependency is none of these: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metrics are registered already.
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The log cannot be followed any more.
    #[error(transparent)]
    Log(#[from] relay_bus::BusError),
    /// The batch half cannot go on.
    #[error("the batch half failed: {0}")]
    Batch(#[from] relay_runner::RunnerError),
}
