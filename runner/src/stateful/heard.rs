//! When a leader read itself in its own log last. Pure.

use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(super) struct Heard {
    /// When a record of this instance was read back, or its time began anew.
    at: Instant,
    asked: Instant,
    /// Whether its time has begun anew since it read itself last.
    began_anew: bool,
    give_up_after: Duration,
}

impl Heard {
    /// Gives up after so long.
    pub(super) fn new(now: Instant, give_up_after: Duration) -> Self {
        Self {
            at: now,
            asked: now,
            began_anew: false,
            give_up_after,
        }
    }

    /// A record of this instance was read back.
    pub(super) fn itself(&mut self, now: Instant) {
        (self.at, self.began_anew) = (now, false);
    }

    /// Whether that is too long ago. A process that stood still itself (it was stopped, or its machine slept) could read nothing,
    /// and is given its time anew: hence to be asked far more often than that. Once: one that does nothing but stand still is cut off.
    pub(super) fn is_too_long_ago(&mut self, now: Instant) -> bool {
        let asked = std::mem::replace(&mut self.asked, now);
        if now.saturating_duration_since(asked) >= self.give_up_after / 2 && !self.began_anew {
            (self.at, self.began_anew) = (now, true);
        }
        now.saturating_duration_since(self.at) >= self.give_up_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_leader_that_runs_and_does_not_read_itself_is_cut_off_and_one_that_was_stopped_is_not() {
        let start = Instant::now();
        let mut heard = Heard::new(start, 20 * SECOND);
        let mut cut_off = |at: u32| heard.is_too_long_ago(start + at * SECOND);
        assert!((1..20).all(|at| !cut_off(at)));
        assert!(cut_off(20), "it ran all the time");
        assert!(!cut_off(60), "it was stopped for 40 s");
        assert!((61..80).all(|at| !cut_off(at)), "it has its time anew");
        assert!(cut_off(80));
        heard.itself(start + 80 * SECOND);
        assert!(!heard.is_too_long_ago(start + 81 * SECOND));
    }

    /// By reading: a fold that waits for a schema put it off for ever.
    #[test]
    fn a_leader_whose_every_turn_takes_long_has_its_time_anew_once() {
        let start = Instant::now();
        let mut heard = Heard::new(start, 20 * SECOND);
        let mut cut_off = |at: u32| heard.is_too_long_ago(start + at * SECOND);
        assert_eq!([10, 20, 30].map(&mut cut_off), [false, false, true]);
        heard.itself(start + 30 * SECOND);
        let mut cut_off = |at: u32| heard.is_too_long_ago(start + at * SECOND);
        assert_eq!([60, 79, 80].map(&mut cut_off), [false, false, true]);
    }
}
