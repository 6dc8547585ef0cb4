//! Calls into librdkafka that wait for a broker, kept off the threads that run everything else.

use crate::BusError;

/// Runs `work` where waiting harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(BusError::Unavailable(error.to_string())))
}

/// Lets a client go, which may wait for a broker.
pub(super) fn dispose<T: Send + 'static>(client: T) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(client))),
        Err(_) => drop(client),
    }
}
