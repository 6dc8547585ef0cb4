//! What going through the tail comes to.

use std::collections::HashMap;

use crate::log::{Active, Boundary, NoteBook};
use crate::opened::Opened;
use crate::segment::Closed;
use crate::{Seq, Slot};

/// What there is, as the tail says.
pub(crate) struct Tail<F> {
    pub closed: Vec<Closed>,
    pub active: Option<Active<F>>,
    pub next: HashMap<Slot, i64>,
    pub notes: NoteBook,
    pub next_seq: Seq,
    pub proven: Seq,
    /// Where what is not proven begins, if there is any that must not be lost.
    pub boundary: Option<Boundary>,
    pub unproven: bool,
    pub marked: bool,
}

impl<F> Default for Tail<F> {
    fn default() -> Self {
        Self {
            closed: Vec::new(),
            active: None,
            next: HashMap::new(),
            notes: NoteBook::default(),
            next_seq: 1,
            proven: 0,
            boundary: None,
            unproven: false,
            marked: false,
        }
    }
}

/// Where the torn end begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Torn {
    pub segment: u64,
    pub at: u64,
    pub bytes: u64,
    /// Nothing of the segment is left.
    pub whole: bool,
}

/// What came of going through the tail.
pub(crate) struct Replay<F> {
    /// The first segment that was gone through.
    pub first: usize,
    pub tail: Tail<F>,
    pub opened: Opened,
    pub torn: Option<Torn>,
    /// Made and never written to.
    pub empty: Vec<u64>,
}
