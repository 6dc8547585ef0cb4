//! Asks the log until it answers.

use relay_bus::BusError;

use crate::backoff::Backoff;
use crate::health::Health;

/// Repeats `ask` until it answers; a topic that is not there yet is waited for as well. `health` is told of `dependency`.
///
/// # Errors
/// What waiting does not mend.
pub async fn retry_forever<T, F: Future<Output = Result<T, BusError>>>(
    health: &Health,
    dependency: &'static str,
    mut backoff: Backoff,
    mut ask: impl FnMut() -> F,
) -> Result<T, BusError> {
    loop {
        match ask().await {
            Ok(answer) => {
                health.up(dependency);
                return Ok(answer);
            }
            Err(error) if error.may_pass() => {
                health.down(dependency, error.to_string());
                backoff.wait().await;
            }
            Err(error) => return Err(error),
        }
    }
}
