//! What opening found.

use crate::Slot;
use crate::sync_end::Lost;

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// There was no log.
    pub fresh: bool,
    /// What was cut off the end: it was never acknowledged.
    pub cut: Option<CutOff>,
    /// Segments that lay under another one's name.
    pub misnamed: Vec<Misnamed>,
    /// What was on disk and is damaged, in the part that was looked at.
    pub damaged: Vec<Damage>,
    /// Entries that were there, and could not be read back when they were written again.
    pub lost: Vec<Lost>,
    /// Bytes that were looked at entry by entry.
    pub scanned: u64,
    /// No checkpoint could be read, and there are records: the notes are those that changed since, and numbers of slots may be
    /// given anew. Whoever gives them should not go on.
    pub notes_lost: bool,
}

/// What was cut off the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The segment that is shorter now.
    pub segment: u64,
    /// Where it ends now.
    pub at: u64,
    /// Bytes that are gone, later segments included.
    pub bytes: u64,
}

/// A segment that lay under another one's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misnamed {
    /// That name.
    pub found: String,
    /// Which one it is.
    pub segment: u64,
    /// The name it has now, where its own is taken; else it has its own again.
    pub aside: Option<String>,
}

/// Something that was on disk and is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// The first byte.
    pub position: u64,
    /// Whose record it is, where that is known.
    pub slot: Option<Slot>,
    /// Its offset, where that is known.
    pub offset: Option<i64>,
    /// What is wrong.
    pub what: String,
}
