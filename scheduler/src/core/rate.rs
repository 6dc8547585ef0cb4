//! How fast the queue drains, as seen over the last ten seconds; the honesty of `Retry-After` rests on it.

use relay_schemas::TimestampMs;

const SECONDS: usize = 10;
/// Shortest and longest advice, milliseconds.
const ADVICE: (i64, i64) = (250, 60_000);

/// Dispatches in each of the last ten seconds.
#[derive(Debug, Default)]
pub struct Rate {
    counts: [u32; SECONDS],
    second: i64,
    first: Option<i64>,
}

impl Rate {
    /// One more was dispatched.
    pub fn count(&mut self, now: TimestampMs) {
        self.turn_to(now);
        self.first.get_or_insert(self.second);
        self.counts[self.second.rem_euclid(SECONDS as i64) as usize] += 1;
    }

    /// How long `waiting` requests take at the present rate, within bounds; the longest advice while nothing moves.
    pub fn drain_ms(&mut self, waiting: usize, now: TimestampMs) -> i64 {
        self.turn_to(now);
        let total: i64 = self.counts.iter().map(|count| i64::from(*count)).sum();
        if total == 0 {
            return ADVICE.1;
        }
        let first = self.first.unwrap_or(self.second);
        let seconds = (self.second - first + 1).clamp(1, SECONDS as i64);
        (waiting as i64 * seconds * 1_000 / total).clamp(ADVICE.0, ADVICE.1)
    }

    fn turn_to(&mut self, now: TimestampMs) {
        let second = now.0.div_euclid(1_000);
        for passed in (self.second + 1..=second).rev().take(SECONDS) {
            self.counts[passed.rem_euclid(SECONDS as i64) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_follows_the_rate_and_forgets_old_seconds() {
        let mut rate = Rate::default();
        assert_eq!(rate.drain_ms(5, TimestampMs(0)), ADVICE.1);
        for second in 0..10 {
            for _ in 0..10 {
                rate.count(TimestampMs(second * 1_000));
            }
        }
        assert_eq!(rate.drain_ms(100, TimestampMs(9_999)), 10_000);
        assert_eq!(rate.drain_ms(1, TimestampMs(9_999)), ADVICE.0);
        assert_eq!(rate.drain_ms(100, TimestampMs(60_000)), ADVICE.1);
    }

    #[test]
    fn the_rate_of_a_young_scheduler_is_that_since_its_first_dispatch() {
        let mut rate = Rate::default();
        for second in [100, 101, 102] {
            rate.count(TimestampMs(second * 1_000));
        }
        assert_eq!(rate.drain_ms(5, TimestampMs(102_999)), 5_000, "one a second");
        assert_eq!(rate.drain_ms(5, TimestampMs(104_000)), 8_333, "three in five");
    }
}
