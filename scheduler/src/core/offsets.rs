//! How far each input is folded.

use std::collections::BTreeMap;

use super::request::At;

/// An input of the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Input {
    /// What is offered.
    Ready,
    /// What was dispatched to the short lane.
    WorkShort,
    /// What was dispatched to the long lane.
    WorkLong,
    /// What ended.
    Outcomes,
}

/// The first offset not folded, of each partition of each input.
#[derive(Debug, Default, Clone)]
pub struct Offsets(BTreeMap<(Input, i32), i64>);

impl Offsets {
    /// Notes that the record at `at` is folded; false if it was before.
    pub fn fold(&mut self, input: Input, at: At) -> bool {
        let next = self.0.entry((input, at.partition)).or_insert(0);
        let new = at.offset >= *next;
        *next = (*next).max(at.offset + 1);
        new
    }

    /// Sets it, from a snapshot.
    pub fn set(&mut self, input: Input, partition: i32, next: i64) {
        self.0.insert((input, partition), next);
    }

    /// The first offset that is not folded.
    pub fn next(&self, input: Input, partition: i32) -> i64 {
        self.0.get(&(input, partition)).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Input, i32, i64)> {
        self.0
            .iter()
            .map(|((input, partition), next)| (*input, *partition, *next))
    }
}
