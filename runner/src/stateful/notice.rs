//! What a record of a leadership topic says, whatever state stands beside it.

use relay_schemas::{InstanceId, TimestampMs};

use crate::runtime::Identity;

/// Whose it is, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The instance that wrote it.
    pub instance: InstanceId,
    /// When that instance started.
    pub start: i64,
    /// What it says.
    pub kind: NoticeKind,
    /// Under which epoch; of a claim: the one that it wants to follow.
    pub epoch: i64,
    /// When it was written, by the writer's steady clock: only the writer itself counts from it.
    pub sent_at: TimestampMs,
}

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// Its writer wants to lead.
    Claim,
    /// Its writer leads.
    Heartbeat,
    /// Its writer leads, and this is its state.
    Snapshot,
    /// Its writer leads no longer.
    Resignation,
}

impl Notice {
    /// Written now by `writer`.
    pub fn by(writer: &Identity, kind: NoticeKind, epoch: i64, now: TimestampMs) -> Self {
        Self {
            instance: writer.instance.clone(),
            start: writer.epoch,
            kind,
            epoch,
            sent_at: now,
        }
    }

    /// The key of its record: compaction keeps the newest heartbeat and the newest snapshot.
    pub(super) fn key(&self) -> String {
        match self.kind {
            // Of its own, so that compaction keeps every claim: who won follows from all of them.
            NoticeKind::Claim => format!(
                "claim/{}/{}/{}/{}",
                self.instance, self.start, self.epoch, self.sent_at.0
            ),
            NoticeKind::Heartbeat | NoticeKind::Resignation => "heartbeat".to_owned(),
            NoticeKind::Snapshot => "snapshot".to_owned(),
        }
    }
}
