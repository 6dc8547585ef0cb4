//! A place in one partition, and reading on from several of them.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};

use super::cold::ColdRead;
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
    /// A read of what lies on disk alone. It belongs to the cursor and not to whoever waits for it: a sector that cannot be read
    /// takes longer to count as damaged than most callers wait at a time, and a wait that is dropped must not begin it anew.
    reading: Option<Reading>,
}

/// A read that is under way.
struct Reading {
    from: i64,
    found: oneshot::Receiver<Came>,
}

/// What a read brought, and where to go on.
type Came = Result<(Vec<Record>, i64), BusError>;

impl Cursor {
    pub(super) fn new(log: Arc<PartitionLog>, next: i64, notify: &Arc<Notify>) -> Self {
        log.watch(notify);
        Self {
            log,
            next,
            paused: false,
            not_before: None,
            notify: Arc::clone(notify),
            reading: None,
        }
    }

    /// Has what lies on disk in `offsets` read, and says through `notify` when it is.
    fn begin(&mut self, shared: &Arc<Shared>, offsets: Range<i64>) {
        let (tell, found) = oneshot::channel();
        let read = ColdRead::new(shared, &self.log, offsets);
        let notify = Arc::clone(&self.notify);
        tokio::spawn(async move {
            // Nobody listens where the cursor is gone.
            let _ = tell.send(read.run().await);
            notify.notify_one();
        });
        self.reading = Some(Reading {
            from: self.next,
            found,
        });
    }

    fn is_reading(&self) -> bool {
        let reading = self.reading.as_ref();
        reading.is_some_and(|reading| reading.found.is_empty())
    }

    /// What the read under way brought, once it did; nothing if it was of another place than the cursor's.
    fn take_read(&mut self) -> Option<Came> {
        let reading = self.reading.as_mut()?;
        let read = match reading.found.try_recv() {
            Ok(read) => read,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Closed) => Err(BusError::Fatal("a read of the log was cut off".to_owned())),
        };
        let reading = self.reading.take()?;
        (reading.from == self.next).then_some(read)
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
    /// What can be read now; empty if there is nothing. What lies on disk alone is read beside it, one partition's at a time, and
    /// returned by a later call, which `notify` asks for.
    pub(super) fn read(&mut self, shared: &Arc<Shared>) -> Result<Vec<Record>, BusError> {
        loop {
            let (records, passed) = self.round(shared)?;
            if !records.is_empty() || !passed {
                return Ok(records);
            }
        }
    }

    /// What one look at each brings, and whether a cursor passed over what is too early or was compacted away: more may lie behind it.
    fn round(&mut self, shared: &Arc<Shared>) -> Result<(Vec<Record>, bool), BusError> {
        let (most, bytes) = (shared.options.fetch_records, shared.options.fetch_size.as_usize());
        let (mut records, mut passed) = (Vec::<Record>::new(), false);
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
            match cursor.log.find(cursor.next, left, bytes) {
                Found::Nothing => {}
                Found::Records(found) => {
                    let found = cursor.advance(found);
                    passed |= found.is_empty();
                    records.extend(found);
                }
                // Returned alone, so that what is at hand never waits for it.
                Found::Cold(_) if !records.is_empty() => {}
                Found::Cold(offsets) => match cursor.take_read() {
                    Some(read) => {
                        // Also when it failed: what cannot be read must not keep the others waiting.
                        self.turn = index + 1;
                        let (found, next) = read?;
                        let found = cursor.advance(found);
                        // Beyond what was compacted away, or let go by retention meanwhile.
                        cursor.next = cursor.next.max(next);
                        if !found.is_empty() {
                            return Ok((found, false));
                        }
                        passed = true;
                    }
                    None if self.list.iter().any(Cursor::is_reading) => {}
                    None => self.list[index].begin(shared, offsets),
                },
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok((records, passed))
    }
}
