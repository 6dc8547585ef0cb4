//! Whose turn it is to append: writes all that was handed in at once and hands the records to their readers. What must be on
//! disk goes on to the syncer, so that the others never wait behind a sync.

use std::collections::HashMap;
use std::ops::Range;

use relay_log::{Batch, Seq};
use relay_schemas::TimestampMs;

use super::health::Trouble;
use super::jobs::{Append, PreparedCommit};
use super::notes;
use super::shared::Shared;
use super::slot::Slot;
use super::syncer::{Done, SyncQueue};
use crate::Record;

/// Held by whoever appends, one at a time: records are shown in the order in which they lie in the log.
pub(super) struct Turn {
    syncer: SyncQueue,
    /// Bytes written since the syncer was last asked for more than a publisher's sake.
    unsynced: u64,
}

impl Turn {
    pub(super) fn new(syncer: SyncQueue) -> Self {
        Self { syncer, unsynced: 0 }
    }

    pub(super) fn write(&mut self, shared: &Shared, mut appends: Vec<Append>) {
        let now = shared.clock.now();
        let bytes: usize = appends.iter().map(Append::size).sum();
        drop_stale(shared, &mut appends);
        let batches: Vec<Batch> = appends.iter_mut().map(batch_of).collect();
        let (appended, last) = {
            let mut log = shared.log.lock();
            (log.append(&batches, now.0), log.last())
        };
        let offsets = match appended {
            Ok(offsets) => offsets,
            Err(error) => {
                if let Some(trouble) = Trouble::of(&error) {
                    shared.health.fails(trouble);
                }
                for append in appends {
                    let _ = append.answer.send(Err(shared.health.refusal(&error)));
                }
                return;
            }
        };
        if batches.iter().any(|batch| entries(batch) > 0) {
            shared.health.works();
        }
        let ranges = ranges(&batches, last + 1);
        for ((append, offsets), seqs) in appends.into_iter().zip(offsets).zip(ranges) {
            self.hand_on(shared, append, &offsets, seqs, now);
        }
        // Each segment that waits for a sync is an open file.
        self.unsynced += bytes as u64;
        if self.unsynced >= shared.options.segment_size.as_u64() {
            self.syncer.flush_soon();
            self.unsynced = 0;
        }
    }

    /// Shows the records at once, or has the syncer do it when they are on disk, or when what they must not overtake is.
    fn hand_on(&self, shared: &Shared, append: Append, offsets: &[i64], seqs: Range<Seq>, now: TimestampMs) {
        let mut deferred = append.records.iter().any(|prepared| prepared.on_disk);
        deferred |= append
            .records
            .iter()
            .any(|prepared| prepared.log.lock().unsynced > 0);
        if !append.commits.is_empty() {
            let mut committed = shared.committed.lock();
            for commit in append.commits {
                committed.insert(commit.reading, commit.next);
            }
        }
        let records = append.records.into_iter().zip(offsets).map(|(prepared, offset)| {
            if deferred {
                prepared.log.lock().unsynced += 1;
            }
            let record = Record {
                position: prepared.log.position(*offset),
                timestamp: now,
                key: prepared.record.key,
                headers: prepared.record.headers,
                value: prepared.record.value,
            };
            (prepared.log, record)
        });
        let done = Done {
            records: records.collect(),
            answer: append.answer,
            room: append.room,
            seqs,
        };
        if deferred {
            self.syncer.finish_when_synced(done);
        } else {
            done.finish();
        }
    }
}

/// Takes out commits that would set a group back which is being read: they come from a member that has lost the partition.
/// A group without members may be set back on purpose.
fn drop_stale(shared: &Shared, appends: &mut [Append]) {
    let committed = shared.committed.lock();
    let mut reached: HashMap<(String, Slot), i64> = HashMap::new();
    let mut is_stale = |commit: &PreparedCommit| {
        let before = reached.get(&commit.reading).or(committed.get(&commit.reading));
        let stale = before.is_some_and(|before| commit.next < *before)
            && shared.groups.has_members(&commit.reading.0);
        if stale {
            tracing::debug!(messaging.group = commit.reading.0, "a commit came too late");
        } else {
            reached.insert(commit.reading.clone(), commit.next);
        }
        stale
    };
    for append in appends {
        append.commits.retain(|commit| !is_stale(commit));
    }
}

/// The records and commits of one publisher: all of them or none.
fn batch_of(append: &mut Append) -> Batch {
    let records = append.records.iter_mut();
    let commits = append.commits.iter();
    Batch {
        records: records
            .map(|prepared| std::mem::take(&mut prepared.new))
            .collect(),
        notes: commits
            .map(|commit| {
                let (group, slot) = &commit.reading;
                let name = notes::commit(group, *slot);
                (name, Some(notes::number(commit.next)))
            })
            .collect(),
    }
}

fn entries(batch: &Batch) -> usize {
    batch.records.len() + batch.notes.len()
}

/// The numbers of each batch's entries, the last of which ends before `end`.
fn ranges(batches: &[Batch], mut end: Seq) -> Vec<Range<Seq>> {
    let mut ranges: Vec<Range<Seq>> = batches
        .iter()
        .rev()
        .map(|batch| {
            let first = end - entries(batch) as Seq;
            let range = first..end;
            end = first;
            range
        })
        .collect();
    ranges.reverse();
    ranges
}
