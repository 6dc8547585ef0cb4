//! The log as it is while open: what is where, what is on disk, and what is known besides the records.
//!
//! `append` writes, `roll` closes a segment and begins the next, `sync` says what is on disk, `mend` goes on after a failed
//! sync, `named` after its segment lost its name, `read` finds records, `clean` lets go, `learn` reads the keys that it must
//! know.

mod append;
mod clean;
mod learn;
mod mend;
mod named;
mod read;
mod roll;
mod successor;
mod sync;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

pub use append::{Batch, NewRecord};
pub use named::Gone;
pub use read::Span;
pub use sync::Ticket;

use crate::compaction::Compacted;
use crate::files::Files;
use crate::format::checkpoint::Notes;
use crate::format::entry::{NO_SLOT, Previous};
use crate::format::header::Cut;
use crate::index::{Index, Placed};
use crate::layout::Layout;
use crate::options::Options;
use crate::segment::Closed;
use crate::storage::Storage;
use crate::uncut::Uncut;
use crate::{Seq, Slot};

/// The log. One at a time writes to a folder; whoever shares it puts a lock around it, and runs tickets and plans outside.
pub struct Log<S: Storage> {
    pub(crate) storage: Arc<S>,
    pub(crate) options: Options,
    pub(crate) salt: u64,
    pub(crate) files: Arc<Files<S>>,
    /// The segments that are closed, by number.
    pub(crate) closed: BTreeMap<u64, Arc<Closed>>,
    /// The segment that is written; none after it was closed, until the next append.
    pub(crate) active: Option<Active<S::File>>,
    /// The number that the next segment gets.
    pub(crate) next_number: u64,
    pub(crate) slots: BTreeMap<Slot, SlotState>,
    pub(crate) notes: NoteBook,
    /// The number that the next entry gets.
    pub(crate) next_seq: Seq,
    pub(crate) disk: OnDisk<S::File>,
    pub(crate) health: Health,
    pub(crate) compacted: BTreeMap<Slot, Compacted>,
    /// A step of cleaning is out.
    pub(crate) cleaning: bool,
    /// The segment that it writes anew.
    pub(crate) cleaning_segment: Option<u64>,
    /// The segment that goes as soon as the mark that says so is on disk. A checkpoint names it again: then it is told anew.
    pub(crate) leaving: Option<clean::Leaving>,
    /// Segments that are gone, of which a full disk did not let that be written.
    pub(crate) untold: Vec<u64>,
    /// Segments that could not be, and until when they are passed over.
    pub(crate) passed_over: BTreeMap<u64, i64>,
    /// Segments of which nothing counts, and that could not be removed: they go before what says so may.
    pub(crate) void: Vec<u64>,
    /// What the next segment takes the place of: cut off once that is on disk.
    pub(crate) uncut: Option<Uncut>,
    /// Written from, and kept for its room.
    pub(crate) buffer: Vec<u8>,
    pub(crate) placed: Vec<Placed>,
}

/// The segment that is written.
pub(crate) struct Active<F> {
    pub number: u64,
    pub file: Arc<F>,
    pub first_seq: Seq,
    pub created_ms: i64,
    pub cut: Option<Cut>,
    /// Bytes so far; the next entry begins here.
    pub length: u64,
    pub seed: u32,
    pub chain: Previous,
    pub index: Index,
}

impl<F> Active<F> {
    /// Lays out its next entries in `bytes`, from the number `seq` on.
    pub(crate) fn layout<'a>(
        &self,
        bytes: &'a mut Vec<u8>,
        synced: Seq,
        seq: Seq,
        now_ms: i64,
    ) -> Layout<'a> {
        Layout {
            bytes,
            seed: self.seed,
            synced,
            now_ms,
            seq,
            chain: self.chain,
        }
    }
}

/// What is known of a slot.
#[derive(Debug, Default)]
pub(crate) struct SlotState {
    /// The next offset.
    pub next: i64,
    /// Everything below may go.
    pub low: i64,
    /// A `low` that counts once everything up to this number is on disk, since what made it right must be there first.
    pub pending_low: Option<(Seq, i64)>,
    /// The closed segments that hold records of it, oldest first.
    pub segments: VecDeque<u64>,
}

impl SlotState {
    /// One of which nothing is known but its next offset.
    pub(crate) fn beginning(next: i64) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }
}

/// The notes, and how they were when everything was last on disk.
#[derive(Debug, Default)]
pub(crate) struct NoteBook {
    pub notes: Notes,
    /// What each change since the last sync replaced, oldest first.
    pub undo: VecDeque<(Seq, Bytes, Option<Bytes>)>,
}

/// How much is on disk.
pub(crate) struct OnDisk<F> {
    /// Entries with smaller numbers are.
    pub synced: Seq,
    /// Where the entry `synced` is, or would begin.
    pub boundary: Boundary,
    /// Entries on disk say that those with smaller numbers are.
    pub proven: Seq,
    /// The last entry says that those with smaller numbers are; it need not be on disk itself.
    pub stated: Seq,
    /// The last entry is a mark: it proves all others, and needs no proof itself.
    pub marked: bool,
    /// Written to since they were last synced, oldest first, by number.
    pub dirty: Vec<(u64, Arc<F>)>,
    /// Where the records of closed segments are, from the one on in which the last sync ended: the disk may not give it back.
    pub indexes: BTreeMap<u64, Arc<Index>>,
    /// Names were made or changed since the folder was last synced.
    pub folder_dirty: bool,
    /// How often a segment was replaced or removed, and how many of these times are on disk.
    pub renamed: u64,
    pub renamed_synced: u64,
    pub in_flight: bool,
}

/// A place between two batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Boundary {
    pub number: u64,
    pub position: u64,
}

/// Whether the segment that is written can be written on.
#[derive(Debug)]
pub(crate) enum Health {
    Good,
    /// Bytes may stand behind its end.
    Untidy,
    /// A sync failed: what is not on disk must be written again elsewhere.
    Failing(String),
}

impl NoteBook {
    pub(crate) fn change(&mut self, seq: Seq, name: &Bytes, value: Option<&Bytes>) {
        let before = match value {
            Some(value) => self.notes.insert(name.clone(), value.clone()),
            None => self.notes.remove(name),
        };
        self.undo.push_back((seq, name.clone(), before));
    }

    /// Everything with a number below `synced` is on disk.
    pub(crate) fn settle(&mut self, synced: Seq) {
        while self.undo.front().is_some_and(|(seq, ..)| *seq < synced) {
            self.undo.pop_front();
        }
    }

    /// Goes back to how they were at the last sync.
    pub(crate) fn undo(&mut self) {
        while let Some((_, name, before)) = self.undo.pop_back() {
            match before {
                Some(value) => self.notes.insert(name, value),
                None => self.notes.remove(&name),
            };
        }
    }
}

impl<S: Storage> Log<S> {
    /// The number of the last entry.
    pub fn last(&self) -> Seq {
        self.next_seq - 1
    }

    /// The number of the last entry that is on disk with all before it.
    pub fn synced(&self) -> Seq {
        self.disk.synced - 1
    }

    /// All notes.
    pub fn notes(&self) -> &Notes {
        &self.notes.notes
    }

    /// Why nothing is taken since a sync failed; [`Log::mend`] tries again.
    pub fn failing(&self) -> Option<&str> {
        match &self.health {
            Health::Failing(reason) => Some(reason),
            _ => None,
        }
    }

    /// The folder.
    pub fn storage(&self) -> &Arc<S> {
        &self.storage
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        let closed: u64 = self.closed.values().map(|segment| segment.length).sum();
        closed + self.active.as_ref().map_or(0, |active| active.length)
    }

    /// Says that everything below `low` may go, once everything appended so far is on disk.
    pub fn set_low(&mut self, slot: Slot, low: i64) {
        let next_seq = self.next_seq;
        let state = self.state_mut(slot);
        if low > state.low && state.pending_low.is_none_or(|(_, before)| low > before) {
            state.pending_low = Some((next_seq, low));
        }
    }

    /// Says that offsets of `slot` below `next` were given, also where nothing that is left shows it.
    pub fn reach(&mut self, slot: Slot, next: i64) {
        let state = self.state_mut(slot);
        state.next = state.next.max(next);
    }

    /// The first offset of a slot of which nothing is known: entries that were lost without a name may have been its.
    pub(crate) fn unseen(&self) -> i64 {
        self.slots.get(&NO_SLOT).map_or(0, |state| state.next)
    }

    pub(crate) fn state_mut(&mut self, slot: Slot) -> &mut SlotState {
        let next = self.unseen();
        self.slots
            .entry(slot)
            .or_insert_with(|| SlotState::beginning(next))
    }

    pub(crate) fn add_closed(&mut self, segment: Arc<Closed>) {
        for summary in &segment.summaries {
            let state = self.slots.entry(summary.slot).or_default();
            let at = state.segments.partition_point(|number| *number < segment.number);
            if state.segments.get(at) != Some(&segment.number) {
                state.segments.insert(at, segment.number);
            }
            state.next = state.next.max(summary.end);
        }
        self.closed.insert(segment.number, segment);
    }

    pub(crate) fn remove_closed(&mut self, number: u64) {
        let Some(segment) = self.closed.remove(&number) else {
            return;
        };
        for summary in &segment.summaries {
            if let Some(state) = self.slots.get_mut(&summary.slot) {
                state.segments.retain(|other| *other != number);
            }
        }
        segment.replace(true);
        self.files.forget(&segment);
    }
}
