//! Whether the clock can be trusted with letting go. Pure: nothing goes right after a start, or after the wall clock moved
//! otherwise than time passed, so that whoever set it wrong can set it right.

use std::time::{Duration, Instant};

use relay_schemas::TimestampMs;

/// What the two clocks may differ by between two looks.
const PLAUSIBLE_MS: i64 = 5 * 60 * 1000;
/// How much younger than now the newest record may be at a start before it is worth a warning.
const LONG_AWAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Both clocks at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instants {
    pub wall: TimestampMs,
    pub passed: Instant,
}

/// Since when the clock has been plausible.
#[derive(Debug)]
pub(super) struct Grace {
    length: Duration,
    since: Instant,
    last: Instants,
}

impl Grace {
    pub(super) fn new(length: Duration, now: Instants) -> Self {
        Self {
            length,
            since: now.passed,
            last: now,
        }
    }

    /// How far the newest record of all lies from now, in milliseconds, where that is strange at a start.
    pub(super) fn strange_start(newest: Option<i64>, now: TimestampMs) -> Option<i64> {
        let away = now.0.saturating_sub(newest?);
        (!(-PLAUSIBLE_MS..=LONG_AWAY_MS).contains(&away)).then_some(away)
    }

    /// Looks at the clocks: by how many milliseconds the wall clock jumped, if it did; the grace then begins anew.
    pub(super) fn look(&mut self, now: Instants) -> Option<i64> {
        let passed = now.passed.saturating_duration_since(self.last.passed).as_millis();
        let jumped = (now.wall.0 - self.last.wall.0) - i64::try_from(passed).unwrap_or(i64::MAX);
        self.last = now;
        if jumped.abs() <= PLAUSIBLE_MS {
            return None;
        }
        self.since = now.passed;
        Some(jumped)
    }

    /// Whether nothing may be let go yet.
    pub(super) fn lasts(&self) -> bool {
        self.last.passed.saturating_duration_since(self.since) < self.length
    }
}

#[cfg(test)]
mod tests {
    use relay_clock::Clock;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn nothing_goes_for_the_grace_after_a_start_and_after_each_jump_of_the_clock() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000_000));
        let now = || Instants {
            wall: clock.now(),
            passed: clock.instant(),
        };
        let mut grace = Grace::new(HOUR, now());
        assert!(grace.lasts());
        hands.advance(HOUR);
        assert_eq!(grace.look(now()), None);
        assert!(!grace.lasts());
        for jump in [40 * 24 * 3_600_000, -40 * 24 * 3_600_000] {
            hands.step_to(clock.now().plus_ms(jump));
            assert_eq!(grace.look(now()), Some(jump));
            assert!(grace.lasts());
            hands.advance(HOUR);
            assert_eq!(grace.look(now()), None);
            assert!(!grace.lasts());
        }
    }

    #[test]
    fn a_start_is_strange_where_the_newest_record_is_long_ago_or_in_the_future() {
        let now = TimestampMs(100 * LONG_AWAY_MS);
        for (newest, strange) in [
            (None, false),
            (Some(now.0), false),
            (Some(now.0 - LONG_AWAY_MS), false),
            (Some(now.0 - LONG_AWAY_MS - 1), true),
            (Some(now.0 + PLAUSIBLE_MS), false),
            (Some(now.0 + PLAUSIBLE_MS + 1), true),
        ] {
            assert_eq!(Grace::strange_start(newest, now).is_some(), strange, "{newest:?}");
        }
    }
}
