//! Where records are, from going through a segment; what is lost is named by what comes after it, as far as it can be.

use crate::format::entry::{Kind, NO_SLOT};
use crate::format::footer::Summary;
use crate::index::{Index, Placed};
use crate::scan::Entry;
use crate::{Seq, Slot};

/// Builds the index of a segment entry by entry.
#[derive(Debug)]
pub struct Locator {
    /// The records so far.
    pub index: Index,
    /// The number that the next entry should have.
    pub expected: Seq,
    /// Entries that are lost and not named so far; the opening checkpoint, which stands for no offset, is none of them.
    pub nameless: u64,
    first_seq: Seq,
    cleaned: bool,
    lost_at: Option<u64>,
    /// Where the nameless ones are.
    position: u64,
}

impl Locator {
    /// For a segment whose first entry, the opening checkpoint, comes before `first_seq`.
    pub fn new(first_seq: Seq, cleaned: bool) -> Self {
        Self {
            index: Index::default(),
            expected: first_seq.saturating_sub(1),
            nameless: 0,
            first_seq,
            cleaned,
            lost_at: None,
            position: 0,
        }
    }

    /// From `position` on no head is whole.
    pub fn lost(&mut self, position: u64) {
        self.lost_at = Some(position);
    }

    /// Takes the entry behind what was lost, for what it says of that.
    pub fn found(&mut self, entry: &Entry, next: impl Fn(Slot) -> Option<i64>) {
        let Some(position) = self.lost_at.take() else {
            return;
        };
        let header = &entry.header;
        self.position = position;
        // Of a cleaned segment it is not known how many there were; one at least.
        let lost = if self.cleaned {
            1
        } else {
            header.seq.saturating_sub(self.expected.max(self.first_seq))
        };
        self.nameless += lost;
        let previous = header.previous;
        if lost > 0 && previous.slot == NO_SLOT {
            self.nameless -= 1;
        } else if lost > 0 {
            // That one is named for certain, whatever else is known.
            let next = |slot| Some(next(slot)?.min(previous.offset));
            self.name(previous.slot, previous.offset + 1, next);
        }
        if self.cleaned {
            self.nameless = 0;
        }
        self.expected = self.expected.max(header.seq);
    }

    /// Takes the next entry. `next` says which offset of a slot was to come, where this segment does not.
    pub fn entry(&mut self, entry: &Entry, next: impl Fn(Slot) -> Option<i64>) {
        self.found(entry, &next);
        let header = &entry.header;
        if header.kind == Kind::Record {
            self.name(header.slot, header.offset, &next);
            self.index.push(Placed {
                slot: header.slot,
                offset: header.offset,
                position: entry.position as u32,
                size: header.size() as u32,
                timestamp: Some(header.timestamp),
            });
        }
        self.expected = header.seq + 1;
    }

    /// The segment ends before the entry `end_seq`, and holds what `summaries` say, as far as that is known.
    pub fn end(&mut self, end_seq: Seq, summaries: &[Summary]) {
        let Some(position) = self.lost_at.take() else {
            return;
        };
        self.position = position;
        self.nameless += end_seq.saturating_sub(self.expected.max(self.first_seq));
        self.expected = self.expected.max(end_seq);
        for summary in summaries {
            let held = self
                .index
                .slot(summary.slot)
                .map_or(summary.first, |index| index.summary.end);
            if held < summary.end {
                self.name(summary.slot, summary.end, |_| Some(summary.first));
            }
        }
    }

    /// What is missing of `slot` below `offset` is among what was lost.
    fn name(&mut self, slot: Slot, offset: i64, next: impl Fn(Slot) -> Option<i64>) {
        if self.nameless == 0 {
            return;
        }
        let held = self.index.slot(slot).map(|index| index.summary.end);
        let from = if self.cleaned {
            None
        } else {
            held.or_else(|| next(slot))
        };
        let from = from
            .unwrap_or(offset - 1)
            .max(offset - self.nameless as i64)
            .max(0);
        for offset in from..offset {
            self.nameless -= 1;
            self.index.push(Placed {
                slot,
                offset,
                position: self.position as u32,
                size: 0,
                timestamp: None,
            });
        }
    }
}
