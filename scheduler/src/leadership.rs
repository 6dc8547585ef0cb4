//! The topic by which the schedulers of one pool agree which of them leads, and in which the leader leaves its state.

use relay_bus::topics;
use relay_runner::{LeadershipTopic, Notice, NoticeKind};
use relay_schemas::{SchedulerRecord, SchedulerRecordKind as Kind, SchedulerSnapshot};

/// See the module.
#[derive(Debug, Clone)]
pub struct SchedulerTopic {
    /// Whose schedulers.
    pub pool: String,
}

impl LeadershipTopic for SchedulerTopic {
    type Record = SchedulerRecord;
    type Snapshot = SchedulerSnapshot;

    fn name(&self) -> String {
        topics::scheduler(&self.pool)
    }

    fn notice(&self, record: &SchedulerRecord) -> Notice {
        Notice {
            instance: record.scheduler.clone(),
            start: record.scheduler_start,
            kind: match record.kind {
                Kind::Claim => NoticeKind::Claim,
                Kind::Heartbeat => NoticeKind::Heartbeat,
                Kind::Snapshot => NoticeKind::Snapshot,
                Kind::Resignation => NoticeKind::Resignation,
            },
            epoch: record.epoch,
            sent_at: record.sent_at,
        }
    }

    fn snapshot(&self, record: SchedulerRecord) -> Option<SchedulerSnapshot> {
        record.snapshot
    }

    fn record(&self, notice: Notice, snapshot: Option<SchedulerSnapshot>) -> SchedulerRecord {
        SchedulerRecord {
            pool: self.pool.clone(),
            scheduler: notice.instance,
            scheduler_start: notice.start,
            kind: match notice.kind {
                NoticeKind::Claim => Kind::Claim,
                NoticeKind::Heartbeat => Kind::Heartbeat,
                NoticeKind::Snapshot => Kind::Snapshot,
                NoticeKind::Resignation => Kind::Resignation,
            },
            epoch: notice.epoch,
            sent_at: notice.sent_at,
            snapshot,
        }
    }
}
