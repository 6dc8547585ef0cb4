//! What goes from a publisher to the writer.

use std::sync::Arc;

use relay_log::NewRecord;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::partition::PartitionLog;
use super::slot::Slot;
use crate::{BusError, Outgoing, Position};

/// What the writer is asked to do.
pub(super) enum Job {
    /// Append records, commit offsets.
    Append(Append),
    /// Finish and end.
    Stop,
}

/// What is appended together, and who waits for it.
pub(super) struct Append {
    pub records: Vec<Prepared>,
    pub commits: Vec<PreparedCommit>,
    pub answer: oneshot::Sender<Result<Vec<Position>, BusError>>,
    /// Given back with the answer: how much may be on its way.
    pub room: OwnedSemaphorePermit,
}

/// A record that only needs its offset and its time.
pub(super) struct Prepared {
    pub log: Arc<PartitionLog>,
    pub on_disk: bool,
    pub new: NewRecord,
    pub record: Outgoing,
}

/// A commit with its partition found.
pub(super) struct PreparedCommit {
    /// The group, and what it reads.
    pub reading: (String, Slot),
    pub next: i64,
}

impl Append {
    /// Bytes of its records.
    pub(super) fn size(&self) -> usize {
        self.records.iter().map(|prepared| size_of(&prepared.new)).sum()
    }
}

/// Bytes of a record in the log, without its head.
pub(super) fn size_of(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, bytes::Bytes::len) + record.meta.len() + record.value.len()
}
