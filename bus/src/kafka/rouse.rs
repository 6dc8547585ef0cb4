//! Wakes clients once the wall clock was set: librdkafka's waits end by that clock, so that where it is set back by a minute a client
//! sends no heartbeat, commits nothing and tries nothing again for that minute, unless it is given something to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use relay_clock::Clock;

/// How soon it is noticed that the clock was set: well within any group's patience with a member.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// Notices that the wall clock was set.
pub(super) struct Rouse {
    clock: Clock,
    /// How often it had been set when it was looked at last.
    steps: u64,
    looked: Instant,
}

impl Rouse {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            steps: clock.timeline().1.steps(),
            looked: clock.instant(),
            clock: clock.clone(),
        }
    }

    /// Completes once the clock was set. May be dropped and called again at any time.
    pub(super) async fn due(&mut self) {
        loop {
            tokio::time::sleep(LOOKS_EVERY.saturating_sub(self.clock.since(self.looked))).await;
            self.looked = self.clock.instant();
            let steps = self.clock.timeline().1.steps();
            if std::mem::replace(&mut self.steps, steps) != steps {
                return;
            }
        }
    }
}

/// Has the client answer a question, for which its main thread wakes and reads the clock anew.
pub(super) fn rouse<C: ConsumerContext + 'static>(client: Arc<StreamConsumer<C>>) {
    tokio::task::spawn_blocking(move || client.assignment().map(drop));
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;

    #[tokio::test]
    async fn clients_are_woken_once_for_each_time_that_the_clock_is_set() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000_000));
        let mut rouse = Rouse::new(&clock);
        let mut is_due = async || {
            hands.advance(LOOKS_EVERY);
            let due = tokio::time::timeout(LOOKS_EVERY / 5, rouse.due());
            due.await.is_ok()
        };
        assert!(!is_due().await, "time passes");
        for to in [940_000, 2_000_000] {
            hands.step_to(TimestampMs(to));
            assert!(is_due().await, "set to {to}");
            assert!(!is_due().await, "once");
        }
    }
}
