//! Finding records. A plan is made under the lock and run outside it.

use std::ops::Range;
use std::sync::Arc;

use super::Log;
use crate::Slot;
use crate::format::entry::NO_SLOT;
use crate::format::seed;
use crate::reading::{self, ReadPlan, Source};
use crate::segment::Closed;
use crate::storage::Storage;

/// The records of one slot in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The segment's number.
    pub segment: u64,
    /// Whether it is still written to.
    pub open: bool,
    /// The first offset.
    pub first: i64,
    /// One past the last.
    pub end: i64,
    /// Bytes, heads included.
    pub bytes: u64,
    /// The oldest append, milliseconds since 1970.
    pub oldest_ms: i64,
    /// The newest append.
    pub newest_ms: i64,
}

impl<S: Storage> Log<S> {
    /// The lowest offset that may still be there, and the next one to be given.
    pub fn range(&self, slot: Slot) -> Range<i64> {
        let Some(state) = self.slots.get(&slot) else {
            return self.unseen()..self.unseen();
        };
        let low = state.pending_low.map_or(state.low, |(_, low)| low);
        let first = self.first_span(slot).map_or(state.next, |span| span.first);
        low.max(first).min(state.next)..state.next
    }

    /// One past the last offset of `slot` at which anything can be read. It is below the end of [`Log::range`] where the
    /// last records are lost and nothing names them.
    pub fn readable_end(&self, slot: Slot) -> i64 {
        self.spans(slot)
            .last()
            .map_or(self.range(slot).start, |span| span.end)
    }

    /// Every slot of which there is or was a record.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.slots.keys().copied().filter(|slot| *slot != NO_SLOT)
    }

    fn first_span(&self, slot: Slot) -> Option<Span> {
        self.spans(slot).next()
    }

    /// Where records of `slot` are, oldest first, whether they may go or not.
    pub fn spans(&self, slot: Slot) -> impl Iterator<Item = Span> {
        let segments = self
            .slots
            .get(&slot)
            .into_iter()
            .flat_map(|state| &state.segments);
        let closed = segments.filter_map(move |number| {
            let summary = self.closed.get(number)?.summary(slot)?;
            Some((*number, false, *summary))
        });
        let open = self.active.iter().filter_map(move |active| {
            let index = active.index.slot(slot)?;
            Some((active.number, true, index.summary))
        });
        closed.chain(open).map(|(segment, open, summary)| Span {
            segment,
            open,
            first: summary.first,
            end: summary.end,
            bytes: summary.bytes,
            oldest_ms: summary.oldest_ms,
            newest_ms: summary.newest_ms,
        })
    }

    /// Finds records of `slot` with offsets in `range`: at most so many, and at most so many bytes (one in any case). One plan
    /// reads from one segment; go on from [`crate::Read::next`].
    pub fn plan_read(
        &self,
        slot: Slot,
        range: Range<i64>,
        most_records: usize,
        most_bytes: usize,
    ) -> ReadPlan<S> {
        let held = self.range(slot);
        let range = range.start.max(held.start)..range.end.min(held.end);
        let most = reading::Most {
            records: most_records.max(1),
            bytes: most_bytes as u64,
        };
        let (source, salted) = self.source(slot, &range, most);
        ReadPlan {
            slot,
            range,
            most,
            seed: seed(self.salt, salted),
            source,
        }
    }

    /// The first closed segment with records of `slot` from `offset` on.
    pub(super) fn closed_at(&self, slot: Slot, offset: i64) -> Option<&Arc<Closed>> {
        let state = self.slots.get(&slot)?;
        let end = |number: &u64| self.closed.get(number)?.summary(slot).map(|summary| summary.end);
        let at = state
            .segments
            .partition_point(|number| end(number).is_none_or(|end| end <= offset));
        self.closed.get(state.segments.get(at)?)
    }

    fn source(&self, slot: Slot, range: &Range<i64>, most: reading::Most) -> (Source<S>, u64) {
        if range.is_empty() {
            return (Source::Nothing, 0);
        }
        if let Some(segment) = self.closed_at(slot, range.start) {
            let source = Source::Closed {
                segment: Arc::clone(segment),
                files: Arc::clone(&self.files),
            };
            return (source, segment.number);
        }
        let Some(active) = &self.active else {
            return (Source::Nothing, 0);
        };
        let (chosen, next) = match active.index.slot(slot) {
            Some(index) => reading::choose(index, range, most, range.end),
            None => (Vec::new(), range.end),
        };
        let source = Source::Open {
            number: active.number,
            file: Arc::clone(&active.file),
            chosen,
            next,
        };
        (source, active.number)
    }
}
