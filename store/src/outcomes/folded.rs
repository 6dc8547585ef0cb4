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

/// A step of one partition, taken together with the outcomes that lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The partition.
    pub partition: i32,
    /// Where the tables must stand; `None` where they must know nothing of it.
    pub from: Option<i64>,
    /// Where they stand afterwards.
    pub to: Folded,
}

impl Advance {
    /// Takes the step, in either database: given `to.next`, `to.whole_from`, the partition and `from`, it changes one row, or none
    /// where the tables stand elsewhere.
    pub(crate) const fn statement(&self) -> &'static str {
        match self.from {
            None => {
                "INSERT INTO folded (next_offset, whole_from, log_partition) \
                 SELECT $1, $2, $3 WHERE CAST($4 AS BIGINT) IS NULL ON CONFLICT DO NOTHING"
            }
            Some(_) => {
                "UPDATE folded SET next_offset = $1, whole_from = $2 WHERE log_partition = $3 AND next_offset = $4"
            }
        }
    }
}
