//! What going through the tail comes to.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::walk::Walk;
use crate::format::seed;
use crate::log::{Active, Boundary, NoteBook};
use crate::opened::Opened;
use crate::segment::Closed;
use crate::storage::StorageFile;
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
    /// Nothing in them counts.
    pub void: Vec<u64>,
}

impl<F: StorageFile> Walk<'_, F> {
    /// Whether it is not written on.
    pub(super) fn is_over(&self, pinned: bool) -> bool {
        let all_was_read = self.blind.is_none() && self.unread == (0, 0);
        // What comes next would be taken for what names it.
        let is_named = self.locator.nameless <= self.named_at_checkpoint;
        pinned || !is_named || self.footer_at.is_some() || self.listed.header.is_none() || !all_was_read
    }

    /// Whether nothing in it counts, and its head ends no other.
    pub(super) fn holds_nothing(&self) -> bool {
        let ends_none = self.listed.header.is_some_and(|head| head.cut.is_none());
        ends_none && self.footer_at.is_none() && self.good.next_seq == self.first_seq
    }

    /// Takes it for the segment that is written on, unless it is closed, or its head is damaged, or nothing could be read at
    /// its end: what is written there would tell of what is lost before it otherwise than was told this time. Nor where the disk
    /// did not give all of it back: it may the next time, and a footer would say for good what was not found.
    pub(super) fn end(self, tail: &mut Tail<F>) {
        let is_over = self.is_over(tail.pinned);
        let Some(header) = self.listed.header.filter(|_| !is_over) else {
            tail.closed.push(self.close());
            return;
        };
        tail.active = Some(Active {
            number: self.listed.number,
            first_seq: self.first_seq,
            created_ms: header.created_ms,
            cut: header.cut,
            length: self.good.position,
            seed: seed(self.salt, self.listed.number),
            chain: self.good.chain,
            index: self.locator.index.before(self.good.position),
            file: self.file,
        });
    }

    /// Takes it for one that is no longer written to.
    pub(super) fn close(self) -> Closed {
        let position = self.good.position;
        let sealed = self.listed.sealed.as_ref().filter(|_| self.footer_at.is_some());
        let (length, summaries) = match (sealed, self.footer_at) {
            // It names what was lost before the segment was cleaned, too.
            (Some(sealed), _) => (self.listed.length, sealed.contents.summaries.clone()),
            (None, Some(_)) => (self.listed.length, self.locator.index.summaries()),
            (None, None) => (position, self.locator.index.before(position).summaries()),
        };
        Closed {
            number: self.listed.number,
            generation: self.listed.generation(),
            first_seq: self.first_seq,
            end_seq: self.good.next_seq,
            length,
            footer_at: self.footer_at,
            cut: self.listed.header.and_then(|header| header.cut),
            summaries,
            unindexed: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        }
    }
}
