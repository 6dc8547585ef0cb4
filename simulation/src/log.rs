//! The log in memory, without encoding: what was appended stays, in order.

use std::collections::BTreeSet;

use relay_scheduler::core::At;
use relay_schemas::{Outcome, Planned, Ready, Request, SchedulerRecord, TimestampMs, Work};

/// One topic of one partition.
pub struct Topic<T> {
    records: Vec<(TimestampMs, T)>,
}

impl<T> Default for Topic<T> {
    fn default() -> Self {
        Self { records: Vec::new() }
    }
}

impl<T> Topic<T> {
    /// Appends and returns the offset.
    pub fn append(&mut self, record: T, now: TimestampMs) -> i64 {
        self.records.push((now, record));
        self.end() - 1
    }

    /// The next offset to be given.
    pub fn end(&self) -> i64 {
        self.records.len() as i64
    }

    /// The record at `offset`.
    pub fn get(&self, offset: i64) -> Option<&T> {
        self.entry(offset).map(|(_, record)| record)
    }

    /// The same, with when it was appended.
    pub fn entry(&self, offset: i64) -> Option<(TimestampMs, &T)> {
        self.records
            .get(usize::try_from(offset).ok()?)
            .map(|(at, record)| (*at, record))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (TimestampMs, &T)> {
        self.records.iter().map(|(at, record)| (*at, record))
    }
}

/// The pools, in the order in which plans prefer them.
pub const POOLS: [&str; 2] = ["default", "spare"];

/// The number of the pool called `name`; what is called otherwise belongs to none, and a test that does so fails.
pub fn pool(name: &str) -> usize {
    POOLS
        .iter()
        .position(|pool| *pool == name)
        .expect("one of the pools")
}

/// The pool whose `ready` topic a record goes to.
pub fn pool_of(ready: &Ready) -> usize {
    let planning = &ready.planning;
    let first = planning.plan.candidates.first().map(|candidate| &candidate.pool);
    let last = planning.handovers.last().map(|handover| &handover.to_pool);
    pool(last.or(first).expect("a plan names a pool"))
}

/// The topics of one pool.
#[derive(Default)]
pub struct PoolLog {
    pub ready: Topic<Ready>,
    /// Offsets of `ready` whose records the disk has damaged, headers and all: nobody can say whose they were.
    pub damaged: BTreeSet<i64>,
    pub short: Topic<(Work, Option<At>)>,
    pub long: Topic<(Work, Option<At>)>,
    pub scheduler: Topic<SchedulerRecord>,
}

/// All topics.
#[derive(Default)]
pub struct Log {
    pub requests: Topic<Request>,
    pub planned: Topic<Planned>,
    pub pools: [PoolLog; POOLS.len()],
    pub outcomes: Topic<Outcome>,
}

/// A record on its way into the log.
#[derive(Debug, Clone)]
pub enum Append {
    Request(Box<Request>),
    Planned(Box<Planned>),
    Ready(Box<Ready>),
    /// With where its `ready` record lies, which the real one says in a header.
    Work(Box<Work>, Option<At>),
    Outcome(Box<Outcome>),
    Scheduler(Box<SchedulerRecord>),
}
