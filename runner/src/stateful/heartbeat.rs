//! When a leader writes into the leadership topic, and what. Pure; by the steady clock.

use std::time::Duration;

use relay_clock::millis;
use relay_schemas::TimestampMs;

/// How often a leader shows itself, and how long others wait for it.
#[derive(Debug, Clone, Copy)]
pub struct LeadershipTimes {
    /// How often the leader appends a heartbeat.
    pub heartbeat: Duration,
    /// After how long without one a standby claims the lead.
    pub suspect_after: Duration,
    /// After how long without reading its own heartbeat a leader stops deciding. Less than `suspect_after`.
    pub self_fence_after: Duration,
    /// After how long without reading its own heartbeat a leader gives the lead up: it is no use to lead by a log that it does not
    /// read. More than `self_fence_after`.
    pub give_up_after: Duration,
    /// A snapshot is written at least this often while something changes.
    pub snapshot_every: Duration,
    /// And after so many changes.
    pub snapshot_changes: u64,
}

/// When it was written last.
#[derive(Debug, Default)]
pub struct Heartbeat {
    next: TimestampMs,
    snapshot_at: TimestampMs,
    /// Changes of the state that the last snapshot holds.
    snapshot_changes: u64,
    /// Those of them that nothing but a snapshot tells.
    snapshot_untold: u64,
}

impl Heartbeat {
    /// When the next one is due.
    pub fn due(&self) -> TimestampMs {
        self.next
    }

    /// Whether one is due, which then counts as written.
    pub fn beats(&mut self, now: TimestampMs, times: &LeadershipTimes) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now.plus_ms(millis(times.heartbeat));
        true
    }

    /// Whether a snapshot is due in the place of a heartbeat, which then counts as written. `changes` of the state were made so
    /// far; `untold` of them no successor would find in the log, so these do not wait.
    pub fn takes_snapshot(
        &mut self,
        changes: u64,
        untold: u64,
        now: TimestampMs,
        times: &LeadershipTimes,
    ) -> bool {
        let since = changes - self.snapshot_changes;
        let first = self.snapshot_at == TimestampMs(0);
        let old = now.since_ms(self.snapshot_at) >= millis(times.snapshot_every);
        let due = since >= times.snapshot_changes || (since > 0 && old);
        if !(first || untold > self.snapshot_untold || due) {
            return false;
        }
        (self.snapshot_at, self.snapshot_changes) = (now, changes);
        self.snapshot_untold = untold;
        true
    }

    /// The last snapshot did not get into the log: the next one is due at once.
    pub fn lost_snapshot(&mut self) {
        self.snapshot_at = TimestampMs(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeadershipTimes = LeadershipTimes {
        heartbeat: Duration::from_millis(500),
        suspect_after: Duration::from_secs(2),
        self_fence_after: Duration::from_millis(1_500),
        give_up_after: Duration::from_secs(20),
        snapshot_every: Duration::from_secs(5),
        snapshot_changes: 100,
    };

    #[test]
    fn a_heartbeat_is_due_again_after_its_time() {
        let mut heartbeat = Heartbeat::default();
        let beats = [1_000, 1_499, 1_500, 1_600].map(|now| heartbeat.beats(TimestampMs(now), &TIMES));
        assert_eq!(beats, [true, false, true, false]);
        assert_eq!(heartbeat.due(), TimestampMs(2_000));
    }

    #[test]
    fn a_snapshot_that_was_lost_is_due_again_at_once() {
        let mut heartbeat = Heartbeat::default();
        assert!(heartbeat.takes_snapshot(1, 0, TimestampMs(1_000), &TIMES));
        assert!(!heartbeat.takes_snapshot(1, 0, TimestampMs(1_500), &TIMES));
        heartbeat.lost_snapshot();
        assert!(heartbeat.takes_snapshot(1, 0, TimestampMs(2_000), &TIMES));
        assert!(!heartbeat.takes_snapshot(1, 0, TimestampMs(2_500), &TIMES));
    }

    #[test]
    fn a_snapshot_is_due_first_then_by_age_by_number_and_at_once_for_what_the_log_does_not_tell() {
        let mut heartbeat = Heartbeat::default();
        let cases = [
            ("the first", 0, 0, 1_000, true),
            ("nothing changed, however old", 0, 0, 60_000, false),
            ("old, and something changed", 1, 0, 60_000, true),
            ("young, and little changed", 100, 0, 60_500, false),
            ("much changed", 101, 0, 60_500, true),
            ("the log does not tell", 102, 1, 60_501, true),
            ("told by now", 102, 1, 60_502, false),
        ];
        for (case, changes, untold, now, due) in cases {
            let taken = heartbeat.takes_snapshot(changes, untold, TimestampMs(now), &TIMES);
            assert_eq!(taken, due, "{case}");
        }
    }
}
