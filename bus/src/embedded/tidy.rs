//! Housekeeping beside the flow: retention, compaction, closing quiet epochs. Each round's work is bounded; the next goes on.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::frame;
use super::keys;
use super::partition::{PartitionLog, Space};
use super::retain;
use super::shared::{LOGS, Shared, storage};
use super::topic::TopicLog;
use super::writer::Tidy;
use crate::BusError;

/// Most compacted records removed in a round.
const MOST_REMOVED: usize = 1000;

/// Runs until `stop` is dropped.
pub(super) fn run(shared: &Shared, stop: &mpsc::Receiver<()>) {
    let interval = shared.options.tidy_interval.max(Duration::from_millis(1));
    let mut first_epochs = [0; LOGS];
    while stop.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Err(error) = round(shared, &mut first_epochs) {
            if shared.check().is_ok() {
                tracing::warn!(%error, "tidying the embedded log failed; it is tried again");
            } else {
                return;
            }
        }
    }
}

fn round(shared: &Shared, first_epochs: &mut [u32; LOGS]) -> Result<(), BusError> {
    let topics: Vec<Arc<TopicLog>> = shared.topics.read().values().cloned().collect();
    let now = relay_clock::Clock::system().now().0;
    let mut tidy = Tidy {
        close_old: true,
        ..Tidy::default()
    };
    for topic in &topics {
        match topic.space {
            Space::Log(number) => let_go(shared, topic, usize::from(number), now, &mut tidy),
            Space::Kept => compact(shared, topic, now, &mut tidy)?,
        }
    }
    let live: [u32; LOGS] = std::array::from_fn(|number| oldest_live(shared, &topics, number));
    for number in 0..LOGS {
        let gone = first_epochs[number]..live[number];
        tidy.removes
            .extend(gone.map(|epoch| keys::epoch(number as u8, epoch)));
    }
    // First the summaries, then the tables: a summary without records reads as empty, records without one would come back.
    shared.tidy(tidy)?;
    for number in 0..LOGS {
        if live[number] > first_epochs[number] {
            shared.drop_epochs_below(number, live[number])?;
            first_epochs[number] = live[number];
        }
    }
    Ok(())
}

/// Retention: moves the lowest offsets up.
fn let_go(shared: &Shared, topic: &TopicLog, number: usize, now: i64, tidy: &mut Tidy) {
    let keep = topic.retention();
    for log in topic.partitions() {
        let mut state = log.lock();
        let gone = retain::expired(&state.spans, keep, now, shared.open_epoch(number));
        let end = state.spans.drain(..gone).next_back().map(|span| span.end);
        if let Some(end) = end {
            state.low = state.low.max(end);
            tidy.puts
                .push((keys::low(log.slot), state.low.to_be_bytes().to_vec()));
        }
    }
}

/// The oldest epoch that any partition still has records in.
fn oldest_live(shared: &Shared, topics: &[Arc<TopicLog>], number: usize) -> u32 {
    topics
        .iter()
        .filter(|topic| topic.space == Space::Log(number as u8))
        .flat_map(|topic| topic.partitions())
        .filter_map(|log| log.lock().spans.front().map(|span| span.epoch))
        .min()
        .unwrap_or_else(|| shared.open_epoch(number))
}

/// Removes what a newer record of the same key has replaced, and tombstones whose time is over.
fn compact(shared: &Shared, topic: &TopicLog, now: i64, tidy: &mut Tidy) -> Result<(), BusError> {
    let due = now.saturating_sub(retain::millis(shared.options.compaction_lag));
    for log in topic.partitions() {
        let replaced = take_replaced(&log, due, MOST_REMOVED.saturating_sub(tidy.removes.len()));
        tidy.removes.extend(
            replaced
                .into_iter()
                .map(|offset| keys::compacted(log.slot, offset)),
        );
        for offset in old_tombstones(shared, &log, due, MOST_REMOVED.saturating_sub(tidy.removes.len()))? {
            tidy.removes.push(keys::compacted(log.slot, offset));
        }
    }
    Ok(())
}

fn take_replaced(log: &PartitionLog, due: i64, most: usize) -> Vec<i64> {
    let mut state = log.lock();
    let ripe = state
        .superseded
        .iter()
        .take(most)
        .take_while(|(since, _)| *since <= due)
        .count();
    state.superseded.drain(..ripe).map(|(_, offset)| offset).collect()
}

/// Tombstones that are due. The newest record of a partition stays, since it says which offset comes next.
fn old_tombstones(shared: &Shared, log: &PartitionLog, due: i64, most: usize) -> Result<Vec<i64>, BusError> {
    let (mut offsets, last): (Vec<i64>, i64) = {
        let mut state = log.lock();
        let last = state.next - 1;
        (std::mem::take(&mut state.tombstones), last)
    };
    let mut removed = Vec::new();
    let mut waiting = Vec::new();
    for offset in offsets.drain(..) {
        let key = keys::compacted(log.slot, offset);
        let Some(body) = shared.kept.get(&key).map_err(|error| storage(&error))? else {
            continue;
        };
        let old = frame::time_of(&body).is_some_and(|time| time <= due);
        if !old || offset == last || removed.len() >= most {
            waiting.push(offset);
            continue;
        }
        let mut state = log.lock();
        if let Some(name) = frame::key_of(&body)
            && state.newest.get(&name) == Some(&offset)
        {
            state.newest.remove(&name);
        }
        removed.push(offset);
    }
    log.lock().tombstones.append(&mut waiting);
    Ok(removed)
}
