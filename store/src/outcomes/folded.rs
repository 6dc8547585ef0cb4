//! How far the log is folded. Noted in the transaction of the rows, and only by who knows where it stood before: tables that
//! were emptied, restored or folded on by another sink turn a fold away that begins elsewhere.

use std::collections::BTreeMap;

/// Where each partition of `relay.outcomes.v1` stands.
pub type Positions = BTreeMap<i32, Folded>;

/// How far one partition is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// The offset of the first record that is not folded.
    pub next: i64,
    /// While `next` lies below it, something that was folded once is missing in the tables.
    pub whole_from: i64,
}

impl Folded {
    /// Whether nothing is missing that was folded once.
    pub fn is_whole(self) -> bool {
        self.next >= self.whole_from
    }
}

/// A step of one partition, taken together with the outcomes that lie in it. A fold takes one of a partition at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The partition.
    pub partition: i32,
    /// Where the tables must stand; `None` where they must know nothing of it.
    pub from: Option<i64>,
    /// Where they stand afterwards.
    pub to: Folded,
}

/// Advances as both databases take them, each kind in one statement: a batch takes a step in every partition that it lies in.
pub(crate) struct Steps<'a> {
    /// From where the tables stand, with that offset.
    pub(crate) on: Vec<(&'a Advance, i64)>,
    /// In partitions that the tables know nothing of.
    pub(crate) first: Vec<&'a Advance>,
}

impl<'a> Steps<'a> {
    /// `advances`, of which no two are of one partition, by kind.
    pub(crate) fn of(advances: &'a [Advance]) -> Self {
        let first = advances.iter().filter(|advance| advance.from.is_none());
        let on = advances
            .iter()
            .filter_map(|advance| Some((advance, advance.from?)));
        Self {
            on: on.collect(),
            first: first.collect(),
        }
    }
}
