//! What a publisher's own task does before the writer sees its records: checks, partitions, encoding.

use std::sync::Arc;

use super::frame;
use super::keys::Slot;
use super::partition::PartitionLog;
use super::shared::Shared;
use crate::{BusError, Commit, Outgoing};

/// A record that only needs its offset and its time.
pub(super) struct Prepared {
    pub log: Arc<PartitionLog>,
    pub on_disk: bool,
    pub body: Vec<u8>,
    pub record: Outgoing,
}

pub(super) fn records(shared: &Shared, records: Vec<Outgoing>) -> Result<Vec<Prepared>, BusError> {
    records.into_iter().map(|record| one(shared, record)).collect()
}

fn one(shared: &Shared, record: Outgoing) -> Result<Prepared, BusError> {
    let topic = shared.topic(&record.topic)?;
    let (size, limit) = (frame::size_of(&record), topic.limit());
    if size > limit {
        return Err(BusError::TooLarge {
            topic: record.topic,
            size,
            limit,
        });
    }
    Ok(Prepared {
        log: topic.choose(&record)?,
        on_disk: topic.on_disk(),
        body: frame::encode(&record),
        record,
    })
}

/// A commit with its partition found.
pub(super) struct PreparedCommit {
    pub group: String,
    pub slot: Slot,
    pub next: i64,
}

pub(super) fn commits(shared: &Shared, commits: Vec<Commit>) -> Result<Vec<PreparedCommit>, BusError> {
    let prepare = |commit: Commit| {
        Ok(PreparedCommit {
            slot: shared.partition(&commit.partition)?.slot,
            group: commit.group,
            next: commit.next,
        })
    };
    commits.into_iter().map(prepare).collect()
}
