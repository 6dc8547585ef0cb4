//! When a leader writes into the scheduler's topic, and what.

use relay_schemas::{SchedulerRecordKind as Kind, TimestampMs};

use crate::config::{LeadershipConfig, millis};
use crate::core::Core;

/// When it was written last.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    next: TimestampMs,
    snapshot_at: TimestampMs,
    /// Changes of the core that the last snapshot holds.
    snapshot_changes: u64,
    /// Requests handed over that it no longer holds.
    snapshot_handed_over: u64,
}

impl Heartbeat {
    /// When the next one is due.
    pub(super) fn due(&self) -> TimestampMs {
        self.next
    }

    /// Whether one is due, which then counts as written.
    pub(super) fn beats(&mut self, now: TimestampMs, config: &LeadershipConfig) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now.plus_ms(millis(config.heartbeat));
        true
    }

    /// Whether a snapshot is due in the place of a heartbeat, which then counts as written.
    pub(super) fn takes_snapshot(
        &mut self,
        core: &Core,
        now: TimestampMs,
        config: &LeadershipConfig,
    ) -> Kind {
        let counts = core.counts();
        let changes = counts.changes;
        let since = changes - self.snapshot_changes;
        let first = self.snapshot_at == TimestampMs(0);
        let old = now.since_ms(self.snapshot_at) >= millis(config.snapshot_every);
        // Without it a successor would take a request up again that another pool has.
        let handed_over = counts.handed_over > self.snapshot_handed_over;
        let due = since >= config.snapshot_changes || (since > 0 && old);
        if !(first || handed_over || due) {
            return Kind::Heartbeat;
        }
        (self.snapshot_at, self.snapshot_changes) = (now, changes);
        self.snapshot_handed_over = counts.handed_over;
        Kind::Snapshot
    }
}
