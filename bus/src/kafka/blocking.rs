//! Calls into librdkafka that wait for a broker, kept off the threads that run everything else.

use crate::BusError;

/// Runs `work` where waiting harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(BusError::Unavailable(error.to_string())))
}
