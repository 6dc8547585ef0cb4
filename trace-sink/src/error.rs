//! Why the sink ends other than by a drain.

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stage or the bus cannot go on.
    #[error(transparent)]
    Runner(#[from] relay_runner::RunnerError),
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The stage let go of the batcher before its end.
    #[error("nothing hands outcomes over any more")]
    BatcherEnded,
}
