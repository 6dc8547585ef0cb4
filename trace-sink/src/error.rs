//! Why the sink ends other than by a drain.

/// What nothing but a person mends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stage or the bus cannot go on.
    #[error(transparent)]
    Runner(#[from] relay_runner::RunnerError),
    /// The control seam refused the subscription.
    #[error(transparent)]
    Control(relay_control::ControlError),
    /// The control seam was closed under us.
    #[error("the control seam was closed")]
    ControlClosed,
    /// The metrics could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The stage let go of the batcher before its end.
    #[error("nothing hands outcomes over any more")]
    BatcherEnded,
}
