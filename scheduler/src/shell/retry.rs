//! Waiting for a bus that is away.

use std::time::Duration;

use relay_bus::BusError;
use relay_runner::Health;

use super::context::BUS;
use crate::config::Config;

/// A wait that doubles up to a bound.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    base: Duration,
    most: Duration,
    next: Duration,
}

impl Wait {
    pub(super) fn new(config: &Config) -> Self {
        let base = Duration::from_millis(config.retry_base_ms.max(1));
        Self {
            base,
            most: Duration::from_millis(config.retry_max_ms).max(base),
            next: base,
        }
    }

    pub(super) async fn once(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(self.most);
    }

    pub(super) fn reset(&mut self) {
        self.next = self.base;
    }
}

/// Asks the bus until it answers; a topic that is not there yet is waited for as well.
pub(super) async fn retry_forever<T, F: Future<Output = Result<T, BusError>>>(
    health: &Health,
    config: &Config,
    mut ask: impl FnMut() -> F,
) -> Result<T, BusError> {
    let mut wait = Wait::new(config);
    loop {
        match ask().await {
            Ok(answer) => {
                health.up(BUS);
                return Ok(answer);
            }
            Err(error @ (BusError::Unavailable(_) | BusError::UnknownTopic(_))) => {
                health.down(BUS, error.to_string());
                wait.once().await;
            }
            Err(error) => return Err(error),
        }
    }
}
