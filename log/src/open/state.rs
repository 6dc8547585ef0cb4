//! Notes and offsets, as entries change them one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use crate::format::checkpoint::Checkpoint;
use crate::format::entry::NO_SLOT;
use crate::log::{Boundary, NoteBook};
use crate::{Seq, Slot};

/// Notes and offsets so far.
#[derive(Default)]
pub(super) struct State {
    pub notes: NoteBook,
    pub next: BTreeMap<Slot, i64>,
    /// Whether a checkpoint was read.
    pub known: bool,
    /// Lost since the last checkpoint, and not named by anything.
    pub nameless: u64,
    /// What counts says that entries with smaller numbers were on disk.
    pub stated: Seq,
    /// The end of the last entry that is proven.
    pub boundary: Option<Boundary>,
    /// Records or notes come after it.
    pub unproven: bool,
    pub marked: bool,
    /// The segments that should be there, as far as is known.
    pub segments: BTreeSet<u64>,
    /// Offsets that only a checkpoint knows of.
    pub jumps: Vec<(Slot, Range<i64>)>,
    /// The segments that there were when the one that is gone through began, as its checkpoint says.
    pub before: Vec<u64>,
}

/// Whether a checkpoint is the first entry of its segment.
pub(super) type Opening = bool;

/// What an entry of the batch being read will do.
pub(super) enum Change {
    Record(Slot, i64),
    Note(Bytes, Option<Bytes>),
    Checkpoint(Checkpoint, Opening),
    /// The segments with these numbers were taken away.
    Removed(Vec<u64>),
    /// Named by what follows it.
    Lost(Slot, i64),
}

impl State {
    pub(super) fn begin(&mut self, checkpoint: Checkpoint) {
        if self.notes.notes != checkpoint.notes {
            self.notes = NoteBook {
                notes: checkpoint.notes,
                ..NoteBook::default()
            };
        }
        for (slot, next) in checkpoint.next {
            let held = self.next.get(&slot).copied().unwrap_or(0);
            if held < next && self.known && slot != NO_SLOT {
                self.jumps.push((slot, held..next));
            }
            self.reach(slot, next);
        }
        self.segments = checkpoint.segments.into_iter().collect();
        self.known = true;
        self.nameless = 0;
    }

    pub(super) fn reach(&mut self, slot: Slot, next: i64) {
        let held = self.next.entry(slot).or_default();
        *held = next.max(*held);
    }

    pub(super) fn apply(&mut self, seq: Seq, change: Change) {
        match change {
            Change::Record(slot, offset) | Change::Lost(slot, offset) => self.reach(slot, offset + 1),
            Change::Note(name, value) => self.notes.change(seq, &name, value.as_ref()),
            Change::Checkpoint(checkpoint, opening) => {
                let jumps = std::mem::take(&mut self.jumps);
                if opening {
                    self.before.clone_from(&checkpoint.segments);
                }
                self.begin(checkpoint);
                if !opening {
                    self.jumps = jumps;
                }
            }
            Change::Removed(numbers) => {
                for number in numbers {
                    self.segments.remove(&number);
                }
            }
        }
    }
}
