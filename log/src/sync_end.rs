//! What came of a sync.

use crate::Seq;

/// What came of a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncEnd {
    /// The number of the last entry that is on disk with all before it, as [`Log::synced`].
    pub synced: Seq,
    /// What was lost: whoever waits for one of these must be told that the result is unknown.
    pub lost: Vec<Lost>,
    /// Why the log takes nothing until [`Log::mend`] succeeds; what is written but not on disk is undecided until then.
    pub failing: Option<String>,
}

/// Entries that were written, perhaps acknowledged from memory, and are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The number of the first.
    pub first: Seq,
    /// The number of the last.
    pub last: Seq,
}

/// What to do about what the disk does not give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Keep failing: it may be readable later.
    Wait,
    /// It is lost.
    GiveUp,
}
