//! One partition in memory: its offsets, its newest records, and who waits for more.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use relay_clock::Clock;
use relay_schemas::Payload;
use tokio::sync::Notify;

use super::slot::Slot;
use crate::{Partition, Position, Record};

pub(super) struct PartitionLog {
    pub slot: Slot,
    pub name: Partition,
    state: Mutex<State>,
    tail: Arc<TailBudget>,
}

#[derive(Default)]
pub(super) struct State {
    /// The oldest offset held.
    pub low: i64,
    /// Offsets below are acknowledged and may be read.
    pub visible: i64,
    /// Appends that wait for a sync; what comes after them in this partition must not overtake them.
    pub unsynced: usize,
    /// The newest records up to `visible`, in order; nothing is missing that is in the log.
    tail: VecDeque<Record>,
    waiting: Vec<Arc<Notify>>,
}

/// What a reader finds at a position.
pub(super) enum Found {
    /// Records from the tail.
    Records(Vec<Record>),
    /// These offsets must be read from the disk.
    Cold(Range<i64>),
    /// Nothing yet.
    Nothing,
}

impl PartitionLog {
    pub(super) fn new(slot: Slot, name: Partition, tail: Arc<TailBudget>) -> Self {
        Self {
            slot,
            name,
            state: Mutex::default(),
            tail,
        }
    }

    pub(super) fn lock(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn position(&self, offset: i64) -> Position {
        Position {
            partition: self.name.clone(),
            offset,
        }
    }

    /// Makes an acknowledged record readable. Called in offset order.
    pub(super) fn show(self: &Arc<Self>, record: Record) {
        let size = footprint(&record);
        let mut state = self.state.lock();
        state.visible = record.position.offset + 1;
        state.tail.push_back(record);
        for waiting in &state.waiting {
            waiting.notify_one();
        }
        drop(state);
        self.tail.took(self, size);
    }

    fn forget_oldest(&self) -> Option<Record> {
        let mut state = self.state.lock();
        let oldest = state.tail.pop_front();
        if state.tail.is_empty() {
            state.tail.shrink_to(AT_ONCE);
        }
        oldest
    }

    /// Wakes `notify` whenever a record becomes readable, until [`PartitionLog::unwatch`].
    pub(super) fn watch(&self, notify: &Arc<Notify>) {
        self.state.lock().waiting.push(Arc::clone(notify));
    }

    pub(super) fn unwatch(&self, notify: &Arc<Notify>) {
        self.state
            .lock()
            .waiting
            .retain(|waiting| !Arc::ptr_eq(waiting, notify));
    }

    pub(super) fn wake(&self) {
        for waiting in &self.state.lock().waiting {
            waiting.notify_one();
        }
    }

    /// What can be read from `from` on.
    pub(super) fn find(&self, from: i64, most_records: usize, most_bytes: usize) -> Found {
        let state = self.state.lock();
        let from = from.max(state.low);
        if from >= state.visible {
            return Found::Nothing;
        }
        let tail_starts = state
            .tail
            .front()
            .map_or(i64::MAX, |record| record.position.offset);
        if from < tail_starts {
            return Found::Cold(from..tail_starts.min(state.visible));
        }
        let first = state.tail.partition_point(|record| record.position.offset < from);
        let mut bytes = 0;
        let records = state
            .tail
            .iter()
            .skip(first)
            .take(most_records.max(1))
            .take_while(|record| {
                let fits = bytes == 0 || bytes < most_bytes;
                bytes += footprint(record);
                fits
            })
            .cloned()
            .collect();
        Found::Records(records)
    }
}

/// Bytes a record occupies in memory, roughly.
fn footprint(record: &Record) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 64)
        .sum();
    160 + headers
        + record.key.as_ref().map_or(0, Bytes::len)
        + record.value.as_ref().map_or(0, Payload::footprint)
}

/// Most records that are forgotten under one lock.
const AT_ONCE: usize = 256;

/// Keeps the tails of all partitions together below a limit, forgetting the oldest record of all first.
pub(super) struct TailBudget {
    limit: usize,
    held: AtomicUsize,
    clock: Clock,
    /// One entry a record, with when it came: not by the wall clock, which may be set.
    order: Mutex<VecDeque<(Instant, Arc<PartitionLog>)>>,
}

impl TailBudget {
    pub(super) fn new(limit: usize, clock: Clock) -> Self {
        Self {
            limit,
            held: AtomicUsize::new(0),
            clock,
            order: Mutex::default(),
        }
    }

    fn took(&self, log: &Arc<PartitionLog>, size: usize) {
        let held = self.held.fetch_add(size, Ordering::Relaxed) + size;
        // Dropped after the lock: a large body takes its time.
        let mut forgotten = Vec::new();
        let mut order = self.order.lock();
        order.push_back((self.clock.instant(), Arc::clone(log)));
        let mut excess = held.saturating_sub(self.limit);
        while excess > 0 {
            let Some((_, oldest)) = order.pop_front() else {
                break;
            };
            let oldest = oldest.forget_oldest();
            let freed = oldest.as_ref().map_or(0, footprint);
            self.held.fetch_sub(freed, Ordering::Relaxed);
            excess = excess.saturating_sub(freed.max(1));
            forgotten.extend(oldest);
        }
        drop(order);
    }

    /// Forgets what came longer than `age` ago.
    pub(super) fn age(&self, age: Duration) {
        // A few at a time: writers wait for the lock.
        while self.age_some(age) {}
    }

    fn age_some(&self, age: Duration) -> bool {
        let mut forgotten = Vec::new();
        let mut order = self.order.lock();
        while forgotten.len() < AT_ONCE {
            let is_old = |came: Instant| self.clock.since(came) > age;
            let Some((_, oldest)) = order.pop_front_if(|(came, _)| is_old(*came)) else {
                order.shrink_to(AT_ONCE);
                break;
            };
            forgotten.push(oldest.forget_oldest());
        }
        drop(order);
        let freed = forgotten.iter().flatten().map(footprint).sum();
        self.held.fetch_sub(freed, Ordering::Relaxed);
        forgotten.len() == AT_ONCE
    }

    /// Breaks the circle between the budget and its partitions.
    pub(super) fn clear(&self) {
        self.order.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;
    use crate::Headers;

    fn shown(log: &Arc<PartitionLog>, offset: i64) {
        log.show(Record {
            position: log.position(offset),
            timestamp: TimestampMs(offset),
            key: None,
            headers: Headers::default(),
            value: Some(Bytes::from_static(b"value").into()),
        });
    }

    /// The offsets of the tail, or none where it must be read from the disk.
    fn found(log: &PartitionLog, from: i64) -> Option<Vec<i64>> {
        match log.find(from, 1_000, 1 << 20) {
            Found::Records(records) => Some(records.iter().map(|record| record.position.offset).collect()),
            Found::Cold(_) => None,
            Found::Nothing => Some(Vec::new()),
        }
    }

    #[test]
    fn what_came_long_ago_leaves_the_memory_and_is_read_from_the_disk_whatever_the_wall_clock_says() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let budget = Arc::new(TailBudget::new(1 << 20, clock));
        let log = |slot| {
            let name = Partition::new("topic", slot);
            Arc::new(PartitionLog::new(slot as u32, name, Arc::clone(&budget)))
        };
        let logs = [log(0), log(1)];
        for offset in 0..1_000 {
            shown(&logs[0], offset);
            shown(&logs[1], offset);
            manual.advance(Duration::from_millis(1));
        }
        manual.step_to(TimestampMs(-3_600_000));
        let held = budget.held.load(Ordering::Relaxed);
        budget.age(Duration::from_millis(100));
        assert_eq!(budget.held.load(Ordering::Relaxed), held / 10);
        for log in &logs {
            assert_eq!(found(log, 899), None);
            assert_eq!(found(log, 900).map(|offsets| offsets.len()), Some(100));
        }
        budget.age(Duration::ZERO);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
        assert_eq!(budget.order.lock().len(), 0);
        assert_eq!(found(&logs[0], 999), None);
        shown(&logs[0], 1_000);
        assert_eq!(found(&logs[0], 1_000), Some(vec![1_000]));
    }
}
