//! What going through the tail comes to.

use std::collections::BTreeMap;

use crate::log::{Active, Boundary, NoteBook};
use crate::opened::Opened;
use crate::segment::Closed;
use crate::uncut::Torn;
use crate::{Seq, Slot};

/// What there is, as the tail says.
pub(crate) struct Tail<F> {
    pub closed: Vec<Closed>,
    pub active: Option<Active<F>>,
    pub next: BTreeMap<Slot, i64>,
    pub notes: NoteBook,
    pub next_seq: Seq,
    pub proven: Seq,
    /// Where what is not proven begins.
    pub boundary: Boundary,
    /// Records or notes come after it.
    pub unproven: bool,
    /// What is cut off may be all that tells damage before it from what was torn: the next segment says so, before it goes.
    pub pinned: bool,
    pub marked: bool,
}

impl<F> Default for Tail<F> {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            active: None,
            next: BTreeMap::new(),
            notes: NoteBook::default(),
            next_seq: 1,
            proven: 0,
            boundary: Boundary::default(),
            unproven: false,
            pinned: false,
            marked: false,
        }
    }
}

/// What came of going through the tail.
pub(crate) struct Replay<F> {
    /// The first segment that was gone through.
    pub first: usize,
    pub tail: Tail<F>,
    pub opened: Opened,
    pub torn: Option<Torn>,
    /// Where the disk does not give the end back, by segment and position: what stands there may have been acknowledged.
    pub unread: Option<(u64, u64)>,
    /// From this segment on a loss of power may have torn what they begin with.
    pub doubtful: Option<u64>,
    /// Made and never written to, behind all that counts.
    pub empty: Vec<u64>,
}
