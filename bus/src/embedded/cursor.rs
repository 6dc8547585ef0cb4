//! A place in one partition, and reading on from several of them.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::Notify;

use super::cold;
use super::partition::{Found, PartitionLog};
use super::shared::Shared;
use crate::{BusError, Record};

/// Where a reader stands in a partition. Watches it for as long as it lives.
pub(super) struct Cursor {
    pub log: Arc<PartitionLog>,
    pub next: i64,
    pub paused: bool,
    /// Records appended before this instant are passed over until the first that is not.
    pub not_before: Option<i64>,
    notify: Arc<Notify>,
}

impl Cursor {
    pub(super) fn new(log: Arc<PartitionLog>, next: i64, notify: &Arc<Notify>) -> Self {
        log.watch(notify);
        Self {
            log,
            next,
            paused: false,
            not_before: None,
            notify: Arc::clone(notify),
        }
    }

    /// Moves behind `records` and drops those that are too early.
    fn advance(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        if let Some(last) = records.last() {
            self.next = last.position.offset + 1;
        }
        if let Some(instant) = self.not_before {
            let early = records.iter().position(|record| record.timestamp.0 >= instant);
            match early {
                Some(first) => {
                    records.drain(..first);
                    self.not_before = None;
                }
                None => records.clear(),
            }
        }
        records
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.log.unwatch(&self.notify);
    }
}

/// Several cursors read in turn, so that a full partition does not starve the others.
#[derive(Default)]
pub(super) struct Cursors {
    pub list: Vec<Cursor>,
    turn: usize,
}

impl Cursors {
    /// What can be read now without waiting for records; empty if there is nothing. Safe to cancel: a cursor moves only when
    /// its records are returned.
    pub(super) async fn read(&mut self, shared: &Arc<Shared>) -> Result<Vec<Record>, BusError> {
        let (most, bytes) = (shared.options.fetch_records, shared.options.fetch_size.as_usize());
        let mut records: Vec<Record> = Vec::new();
        let count = self.list.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let cursor = &mut self.list[index];
            if cursor.paused {
                continue;
            }
            let left = most.saturating_sub(records.len());
            if left == 0 {
                break;
            }
            // What waits on disk is read alone, so that what is at hand never waits for it.
            match cursor.log.find(cursor.next, left, bytes) {
                Found::Nothing => {}
                Found::Records(found) => records.extend(cursor.advance(found)),
                Found::Cold(_) if !records.is_empty() => {}
                Found::Cold(offsets) => {
                    // Also when it fails: what cannot be read must not keep the others waiting.
                    self.turn = index + 1;
                    let found = self.read_cold(shared, index, offsets).await?;
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(records)
    }

    async fn read_cold(
        &mut self,
        shared: &Arc<Shared>,
        index: usize,
        offsets: Range<i64>,
    ) -> Result<Vec<Record>, BusError> {
        let cursor = &mut self.list[index];
        let (log, from) = (Arc::clone(&cursor.log), Arc::clone(shared));
        let read = tokio::task::spawn_blocking(move || cold::read(&from, &log, &offsets));
        let (found, next) = read
            .await
            .map_err(|error| BusError::Fatal(format!("reading the log: {error}")))??;
        let records = cursor.advance(found);
        // Beyond what was compacted away, or let go by retention meanwhile.
        cursor.next = cursor.next.max(next);
        Ok(records)
    }

    /// Whether another round could find more at once.
    pub(super) fn has_more(&self) -> bool {
        self.list.iter().any(|cursor| {
            let state = cursor.log.lock();
            !cursor.paused && cursor.next.max(state.low) < state.visible
        })
    }
}
