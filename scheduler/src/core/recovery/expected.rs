//! Positions in `ready` whose state a snapshot gives.

use std::collections::BTreeMap;

use relay_runner::At;
use relay_schemas::{LeaseEntry, RequestId, RequeuedPosition, SchedulerSnapshot, WaitingPositions};

/// What a position in `ready` is expected to be, by a snapshot.
#[derive(Debug, Clone)]
pub enum Expected {
    /// It waits.
    Waiting {
        /// Attempts so far.
        attempt: u32,
        /// Time waited over them, milliseconds.
        waited_ms: i64,
        /// Those of the attempts that count for nothing.
        let_off: u32,
    },
    /// It is leased.
    Leased(Box<LeaseEntry>),
}

/// A lease whose request no record of `ready` will bring.
#[derive(Debug, Clone, PartialEq)]
pub enum Orphan {
    /// The log no longer holds it.
    Gone(LeaseEntry),
    /// The log has damaged it.
    Damaged(LeaseEntry),
}

impl Orphan {
    /// Whose lease it is.
    pub fn entry(&self) -> &LeaseEntry {
        match self {
            Self::Gone(entry) | Self::Damaged(entry) => entry,
        }
    }
}

/// The positions, and the leases whose position cannot be read.
#[derive(Debug, Default)]
pub(super) struct Positions {
    at: BTreeMap<At, Expected>,
    orphans: Vec<Orphan>,
}

impl Positions {
    pub(super) fn restore(&mut self, snapshot: &SchedulerSnapshot) {
        let waiting = |attempt, waited_ms, let_off| Expected::Waiting {
            attempt,
            waited_ms,
            let_off,
        };
        for positions in &snapshot.waiting {
            let partition = positions.partition;
            let mut offset = positions.first;
            self.at.insert(At { partition, offset }, waiting(0, 0, 0));
            for step in &positions.steps {
                offset += step;
                self.at.insert(At { partition, offset }, waiting(0, 0, 0));
            }
        }
        for position in &snapshot.requeued {
            let RequeuedPosition {
                partition,
                offset,
                attempt,
                waited_ms,
                let_off,
            } = *position;
            self.at
                .insert(At { partition, offset }, waiting(attempt, waited_ms, let_off));
        }
        for lease in &snapshot.leases {
            match (lease.ready_partition, lease.ready_offset) {
                (Some(partition), Some(offset)) => {
                    let expected = Expected::Leased(Box::new(lease.clone()));
                    self.at.insert(At { partition, offset }, expected);
                }
                _ => self.orphans.push(Orphan::Gone(lease.clone())),
            }
        }
    }

    pub(super) fn contains(&self, at: At) -> bool {
        self.at.contains_key(&at)
    }

    pub(super) fn take(&mut self, at: At) -> Option<Expected> {
        self.at.remove(&at)
    }

    /// The lowest one of a partition.
    pub(super) fn lowest(&self, partition: i32) -> Option<i64> {
        let first = At {
            partition,
            offset: i64::MIN,
        };
        let (at, _) = self.at.range(first..).next()?;
        (at.partition == partition).then_some(at.offset)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (At, &Expected)> {
        self.at.iter().map(|(at, expected)| (*at, expected))
    }

    /// The log holds a partition from `low` to before `high` only: what lies elsewhere cannot be read; leases among it are orphans.
    pub(super) fn give_up_outside(&mut self, partition: i32, low: i64, high: i64) {
        let gone = |at: &At| at.partition == partition && !(low..high).contains(&at.offset);
        let lost: Vec<At> = self.at.keys().filter(|at| gone(at)).copied().collect();
        for at in lost {
            self.give_up(at, Orphan::Gone);
        }
    }

    /// A partition is read on at `at`: what is expected before it and was not read there is gone.
    pub(super) fn give_up_before(&mut self, at: At) {
        while let Some(offset) = self.lowest(at.partition).filter(|lowest| *lowest < at.offset) {
            self.give_up(At { offset, ..at }, Orphan::Gone);
        }
    }

    /// The record at `at` is damaged; true if it was leased, and so ends as an orphan.
    pub(super) fn give_up_damaged(&mut self, at: At) -> bool {
        self.give_up(at, Orphan::Damaged)
    }

    fn give_up(&mut self, at: At, orphan: fn(LeaseEntry) -> Orphan) -> bool {
        let lost = self.at.remove(&at);
        let Some(Expected::Leased(entry)) = lost else {
            return false;
        };
        self.orphans.push(orphan(*entry));
        true
    }

    /// A request has ended: its lease is expected no longer.
    pub(super) fn forget_lease_of(&mut self, id: &RequestId) {
        let ended =
            |expected: &Expected| matches!(expected, Expected::Leased(entry) if entry.request_id == *id);
        self.at.retain(|_, expected| !ended(expected));
        self.orphans.retain(|orphan| orphan.entry().request_id != *id);
    }

    pub(super) fn take_orphans(&mut self) -> Vec<Orphan> {
        std::mem::take(&mut self.orphans)
    }
}

/// Waiting positions as a snapshot writes them: a first offset a partition, then the steps to the next.
#[derive(Debug, Default)]
pub struct WaitingSteps(BTreeMap<i32, Vec<i64>>);

impl WaitingSteps {
    /// One more, in any order.
    pub fn add(&mut self, at: At) {
        self.0.entry(at.partition).or_default().push(at.offset);
    }

    /// As they are written.
    pub fn into_positions(self) -> Vec<WaitingPositions> {
        self.0.into_iter().filter_map(positions).collect()
    }
}

fn positions((partition, mut offsets): (i32, Vec<i64>)) -> Option<WaitingPositions> {
    offsets.sort_unstable();
    let steps = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Some(WaitingPositions {
        partition,
        first: *offsets.first()?,
        steps,
    })
}
