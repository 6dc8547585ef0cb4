//! Whether the wall clock can be trusted with deleting what is old: not right after a start, nor after it moved otherwise than
//! time passed, so that whoever set it wrong can set it right.

use std::time::{Duration, Instant};

use relay_schemas::TimestampMs;

use crate::Clock;

/// What the two clocks may differ by between two looks.
const PLAUSIBLE_MS: i64 = 5 * 60 * 1000;
/// How much younger than now the newest record may be at a start before it is worth a warning.
const LONG_AWAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Since when the clock has been plausible.
#[derive(Debug)]
pub struct Grace {
    clock: Clock,
    length: Duration,
    since: Instant,
    /// Both clocks at the last look.
    last: (TimestampMs, Instant),
}

impl Grace {
    /// Begins now, and lasts for `length`.
    pub fn new(length: Duration, clock: Clock) -> Self {
        let last = (clock.now(), clock.instant());
        Self {
            clock,
            length,
            since: last.1,
            last,
        }
    }

    /// How far the newest record of all lies from now, in milliseconds, where that is strange at a start.
    pub fn strange_start(newest: Option<i64>, now: TimestampMs) -> Option<i64> {
        let away = now.0.saturating_sub(newest?);
        (!(-PLAUSIBLE_MS..=LONG_AWAY_MS).contains(&away)).then_some(away)
    }

    /// Looks at the clock: by how many milliseconds the wall clock jumped, if it did; the grace then begins anew.
    pub fn look(&mut self) -> Option<i64> {
        let (wall, passed) = (self.clock.now(), self.clock.instant());
        let between = passed.saturating_duration_since(self.last.1).as_millis();
        let jumped = (wall.0 - self.last.0.0) - i64::try_from(between).unwrap_or(i64::MAX);
        self.last = (wall, passed);
        if jumped.abs() <= PLAUSIBLE_MS {
            return None;
        }
        self.since = passed;
        Some(jumped)
    }

    /// Whether nothing may be deleted yet, as of the last look.
    pub fn lasts(&self) -> bool {
        self.last.1.saturating_duration_since(self.since) < self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn nothing_goes_for_the_grace_after_a_start_and_after_each_jump_of_the_clock() {
        let (clock, hands) = Clock::manual(TimestampMs(1_000_000));
        let mut grace = Grace::new(HOUR, clock.clone());
        assert!(grace.lasts());
        hands.advance(HOUR);
        assert_eq!(grace.look(), None);
        assert!(!grace.lasts());
        for jump in [40 * 24 * 3_600_000, -40 * 24 * 3_600_000] {
            hands.step_to(clock.now().plus_ms(jump));
            assert_eq!(grace.look(), Some(jump));
            assert!(grace.lasts());
            hands.advance(HOUR);
            assert_eq!(grace.look(), None);
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
