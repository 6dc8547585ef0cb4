//! Whose the partitions of the work topics are, as workers tell it: only an owner reads a work record, and passes over those of others.

use std::collections::HashMap;

use relay_schemas::{InstanceId, Lane, TimestampMs, WorkerStatus};

/// Bounded by the partitions of both topics.
#[derive(Debug, Default)]
pub(super) struct Owners(HashMap<(Lane, i32), Owner>);

#[derive(Debug)]
struct Owner {
    worker: InstanceId,
    /// When it told so first, after another one.
    since: TimestampMs,
}

impl Owners {
    /// A worker tells what it owns.
    pub fn tells(&mut self, status: &WorkerStatus, now: TimestampMs) {
        let short = status.short_partitions.iter().map(|it| (Lane::Short, *it));
        let long = status.long_partitions.iter().map(|it| (Lane::Long, *it));
        for place in short.chain(long) {
            let known = self.0.get(&place);
            if known.is_none_or(|known| known.worker != status.worker) {
                let worker = status.worker.clone();
                self.0.insert(place, Owner { worker, since: now });
            }
        }
    }

    /// Whether no other worker has told since `since` that it owns a partition: it may be nobody's for a while.
    pub fn is_alone(&self, worker: &InstanceId, lane: Lane, partition: i32, since: TimestampMs) -> bool {
        let owner = self.0.get(&(lane, partition));
        owner.is_some_and(|owner| owner.worker == *worker && owner.since <= since)
    }
}
