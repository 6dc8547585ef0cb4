//! What a publisher's own task does: checks, partitions, encoding, the append itself where it need not wait for anybody.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::health;
use super::jobs::{Append, Prepared, PreparedCommit, size_of};
use super::record;
use super::shared::{QUEUE_UNIT, Shared};
use super::writer::Appender;
use crate::{BusError, Commit, Outgoing, Position};

/// How often a publisher that waits for room looks whether the log takes anything at all.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Appends records and commits, and waits until they may be told of.
pub(super) async fn publish(
    appender: &Appender,
    records: Vec<Outgoing>,
    commits: Vec<Commit>,
) -> Result<Vec<Position>, BusError> {
    let shared = &*appender.shared;
    let records = records
        .into_iter()
        .map(|record| prepare(shared, record))
        .collect::<Result<Vec<_>, _>>()?;
    let commits = commits
        .into_iter()
        .map(|commit| prepare_commit(shared, commit))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = records.iter().map(|prepared| size_of(&prepared.new)).sum();
    let most = (shared.options.queue_size.as_usize() / QUEUE_UNIT).max(1);
    let units = bytes.div_ceil(QUEUE_UNIT).clamp(1, most);
    let room = place_in_the_queue(shared, units as u32).await?;
    let (answer, answered) = oneshot::channel();
    let append = Append {
        records,
        commits,
        answer,
        room,
    };
    appender.append(append)?;
    answered.await.unwrap_or_else(|_| Err(health::closed()))
}

/// Waits for room, but not while the log takes nothing: what has not been handed to the writer is certainly not taken.
async fn place_in_the_queue(shared: &Shared, units: u32) -> Result<OwnedSemaphorePermit, BusError> {
    let mut place = pin!(Arc::clone(&shared.queue).acquire_many_owned(units));
    loop {
        tokio::select! {
            biased;
            place = &mut place => return place.map_err(|_| health::closed()),
            () = tokio::time::sleep(LOOK_EVERY) => shared.health.check()?,
        }
    }
}

pub(super) fn prepare(shared: &Shared, record: Outgoing) -> Result<Prepared, BusError> {
    let topic = shared.topic(&record.topic)?;
    let key = record.key.as_ref().map_or(0, bytes::Bytes::len);
    for (size, limit) in [(record::size_of(&record), topic.limit()), (key, record::MOST_KEY)] {
        if size > limit {
            return Err(BusError::TooLarge {
                topic: record.topic.to_string(),
                size,
                limit,
            });
        }
    }
    let log = topic.choose(&record)?;
    Ok(Prepared {
        new: record::encode(log.slot, &record),
        log,
        on_disk: topic.on_disk(),
        record,
    })
}

fn prepare_commit(shared: &Shared, commit: Commit) -> Result<PreparedCommit, BusError> {
    Ok(PreparedCommit {
        reading: (commit.group, shared.partition(&commit.partition)?.slot),
        next: commit.next,
    })
}
