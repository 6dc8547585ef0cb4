//! Opening: what the log knew is read back from `kept`, and from the records of epochs that were still open.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{Guard, PersistMode};

use super::keys::{self, Slot, kind};
use super::partition::PartitionLog;
use super::retain::Span;
use super::shared::{LOGS, Shared, storage};
use super::topic::TopicLog;
use super::{frame, summary};
use crate::BusError;

/// Fills a fresh [`Shared`] from its database.
pub(super) fn recover(shared: &Shared) -> Result<(), BusError> {
    for (_, value) in entries(shared, kind::TOPIC)? {
        let topic = TopicLog::decode(&value, &shared.tail)?;
        shared
            .topics
            .write()
            .insert(topic.settings().name, Arc::new(topic));
    }
    let slots: HashMap<Slot, Arc<PartitionLog>> = shared
        .partitions()
        .into_iter()
        .map(|log| (log.slot, log))
        .collect();
    for (key, value) in entries(shared, kind::COMMIT)? {
        let (group, slot) = keys::parse_commit(&key).ok_or_else(damaged)?;
        shared.committed.lock().insert((group, slot), number(&value)?);
    }
    for (key, value) in entries(shared, kind::LOW)? {
        let slot = keys::parse_low(&key).ok_or_else(damaged)?;
        if let Some(log) = slots.get(&slot) {
            log.lock().low = number(&value)?;
        }
    }
    let mut summaries: [BTreeMap<u32, Vec<(Slot, Span)>>; LOGS] = Default::default();
    for (key, value) in entries(shared, kind::EPOCH)? {
        let (space, epoch) = keys::parse_epoch(&key).ok_or_else(damaged)?;
        let spans = summary::decode(&value, epoch).ok_or_else(damaged)?;
        let space = summaries.get_mut(usize::from(space)).ok_or_else(damaged)?;
        space.insert(epoch, spans);
    }
    for (space, mut summaries) in summaries.into_iter().enumerate() {
        read_open_epochs(shared, space, &mut summaries)?;
        let next = summaries.last_key_value().map_or(0, |(epoch, _)| epoch + 1);
        shared.epochs[space].store(next, Ordering::Release);
        for (slot, span) in summaries.into_values().flatten() {
            if let Some(log) = slots.get(&slot) {
                let mut state = log.lock();
                if span.end > state.low {
                    state.spans.push_back(span);
                }
            }
        }
    }
    read_compacted(shared, &slots)?;
    for log in slots.values() {
        let mut state = log.lock();
        let held = state.spans.back().map_or(0, |span| span.end);
        state.next = state.next.max(held).max(state.low);
        if let Some(first) = state.spans.front().map(|span| span.first) {
            state.low = state.low.max(first);
        }
        state.visible = state.next;
    }
    Ok(())
}

/// Summarises the epochs that were open when the log was last closed or killed: their records are read once, now.
fn read_open_epochs(
    shared: &Shared,
    space: usize,
    summaries: &mut BTreeMap<u32, Vec<(Slot, Span)>>,
) -> Result<(), BusError> {
    let first = summaries.last_key_value().map_or(0, |(epoch, _)| epoch + 1);
    let mut spans: BTreeMap<(u32, Slot), Span> = BTreeMap::new();
    for entry in shared.logs[space].range(keys::log(first, 0, 0)..) {
        let (key, value) = pair(entry)?;
        let (epoch, slot, offset) = keys::parse_log(&key).ok_or_else(damaged)?;
        let time = frame::time_of(&value).ok_or_else(damaged)?;
        let span = spans.entry((epoch, slot)).or_insert(Span {
            epoch,
            first: offset,
            end: offset,
            bytes: 0,
            newest_ms: time,
        });
        span.end = offset + 1;
        span.bytes += value.len() as u64;
        span.newest_ms = span.newest_ms.max(time);
    }
    for ((epoch, slot), span) in spans {
        summaries.entry(epoch).or_default().push((slot, span));
    }
    let mut batch = shared.db.batch().durability(Some(PersistMode::Buffer));
    for (epoch, spans) in summaries.range(first..) {
        batch.insert(
            &shared.kept,
            keys::epoch(space as u8, *epoch),
            summary::encode_spans(spans),
        );
    }
    batch.commit().map_err(|error| storage(&error))
}

fn read_compacted(shared: &Shared, slots: &HashMap<Slot, Arc<PartitionLog>>) -> Result<(), BusError> {
    for entry in shared.kept.prefix([kind::COMPACTED]) {
        let (key, value) = pair(entry)?;
        let (slot, offset) = keys::parse_compacted(&key).ok_or_else(damaged)?;
        let Some(log) = slots.get(&slot) else { continue };
        let mut state = log.lock();
        state.next = state.next.max(offset + 1);
        let time = frame::time_of(&value).ok_or_else(damaged)?;
        let replaced = frame::key_of(&value).and_then(|key| state.newest.insert(key, offset));
        state.superseded.extend(replaced.map(|offset| (time, offset)));
        if frame::is_tombstone(&value) {
            state.tombstones.push(offset);
        }
    }
    Ok(())
}

fn entries(shared: &Shared, kind: u8) -> Result<Vec<(fjall::UserKey, fjall::UserValue)>, BusError> {
    shared.kept.prefix([kind]).map(pair).collect()
}

fn pair(entry: Guard) -> Result<(fjall::UserKey, fjall::UserValue), BusError> {
    entry.into_inner().map_err(|error| storage(&error))
}

fn number(bytes: &[u8]) -> Result<i64, BusError> {
    bytes.try_into().map(i64::from_be_bytes).map_err(|_| damaged())
}

fn damaged() -> BusError {
    BusError::Fatal("the embedded log's own notes are damaged".to_owned())
}
