//! How far the wall clock was set, told by the clock that never is. Pure but for the clock it is shown.

use std::time::Instant;

use relay_schemas::TimestampMs;

use crate::Clock;

/// A wall clock that drifts by less is only being adjusted.
const STEP_MS: i64 = 100;

/// Notices steps of the wall clock between two looks.
#[derive(Debug)]
pub struct Steps {
    began: (TimestampMs, Instant),
    /// By how much the wall clock is known to be ahead of what has passed.
    ahead_ms: i64,
}

impl Steps {
    /// Compares from now on.
    pub fn since_now(clock: &Clock) -> Self {
        Self {
            began: (clock.now(), clock.instant()),
            ahead_ms: 0,
        }
    }

    /// By how many milliseconds the wall clock was set since the last look: forward above zero, back below.
    pub fn look(&mut self, clock: &Clock) -> i64 {
        let (wall, instant) = self.began;
        let passed = i64::try_from(clock.since(instant).as_millis()).unwrap_or(i64::MAX);
        let ahead_ms = clock.now().since_ms(wall).saturating_sub(passed);
        let step = ahead_ms.saturating_sub(self.ahead_ms);
        if step.abs() < STEP_MS {
            return 0;
        }
        self.ahead_ms = ahead_ms;
        step
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_was_set_is_a_step_and_each_is_told_once() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000_000));
        let mut steps = Steps::since_now(&clock);
        hands.advance(Duration::from_secs(60));
        assert_eq!(steps.look(&clock), 0, "time passed");
        hands.step_to(clock.now().plus_ms(5_000));
        hands.advance(Duration::from_millis(10));
        assert_eq!([steps.look(&clock), steps.look(&clock)], [5_000, 0]);
        hands.step_to(clock.now().plus_ms(-7_000));
        assert_eq!([steps.look(&clock), steps.look(&clock)], [-7_000, 0]);
    }

    #[test]
    fn small_adjustments_add_up_until_they_count() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000_000));
        let mut steps = Steps::since_now(&clock);
        let told: Vec<i64> = (0..3)
            .map(|_| {
                hands.step_to(clock.now().plus_ms(40));
                steps.look(&clock)
            })
            .collect();
        assert_eq!(told, [0, 0, 120]);
    }
}
