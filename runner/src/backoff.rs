//! How long to wait before the next try: doubling, bounded, and spread, so that many do not come back at once.

use std::time::Duration;

use crate::chance::Chance;

/// The wait after the `failed`th failure in a row: doubles from `base` up to `max`; `random` spreads it over the upper half. Pure.
pub fn backoff(base: Duration, max: Duration, failed: u32, random: u32) -> Duration {
    let doubled = base.saturating_mul(1_u32 << failed.saturating_sub(1).min(20));
    let capped = doubled.min(max);
    capped / 2 + (capped / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Failures in a row, and the waits between them.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failed: u32,
    chance: Chance,
}

impl Backoff {
    /// Waits about `base` after the first failure, and never longer than `max`; `chance` spreads the waits.
    pub fn new(base: Duration, max: Duration, chance: &Chance) -> Self {
        Self {
            base,
            max: max.max(base),
            failed: 0,
            chance: chance.clone(),
        }
    }

    /// Counts a failure and says how long to wait.
    pub fn pause(&mut self) -> Duration {
        self.failed = self.failed.saturating_add(1);
        backoff(self.base, self.max, self.failed, self.chance.draw())
    }

    /// Counts a failure and waits.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }

    /// Forgets the failures, because something worked.
    pub fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_limit_and_stays_in_the_upper_half() {
        let (base, max) = (Duration::from_millis(50), Duration::from_secs(2));
        for (failed, whole_ms) in [
            (1, 50),
            (2, 100),
            (3, 200),
            (6, 1_600),
            (7, 2_000),
            (4_000, 2_000),
        ] {
            let whole = Duration::from_millis(whole_ms);
            assert_eq!(backoff(base, max, failed, u32::MAX), whole);
            assert_eq!(backoff(base, max, failed, 0), whole / 2);
        }
    }

    #[test]
    fn what_worked_makes_the_next_wait_short_again() {
        let mut backoff = Backoff::new(
            Duration::from_millis(100),
            Duration::from_secs(1),
            &Chance::system(),
        );
        for _ in 0..5 {
            backoff.pause();
        }
        assert!(backoff.pause() >= Duration::from_millis(500));
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
    }
}
