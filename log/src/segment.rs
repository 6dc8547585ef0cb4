//! A closed segment, as it is known without reading its file.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Slot;
use crate::format::footer::Summary;
use crate::format::header::Cut;

/// A segment that is no longer written to.
#[derive(Debug)]
pub struct Closed {
    /// The number in its name.
    pub number: u64,
    /// How often it was cleaned.
    pub generation: u16,
    /// Number of its first entry.
    pub first_seq: u64,
    /// One past the number of its last.
    pub end_seq: u64,
    /// Bytes that count; there may be more where it was abandoned.
    pub length: u64,
    /// Where its footer begins; without one it is scanned when it is read from.
    pub footer_at: Option<u64>,
    /// What its head says of an abandoned segment.
    pub cut: Option<Cut>,
    /// What it holds, ordered by slot.
    pub summaries: Vec<Summary>,
    /// Its footer was found damaged: it is scanned until it is written anew.
    pub(crate) unindexed: AtomicBool,
    /// Taken away or written anew: who finds something else in its place plans again.
    pub(crate) replaced: AtomicBool,
}

impl Closed {
    /// What it holds of `slot`.
    pub fn summary(&self, slot: Slot) -> Option<&Summary> {
        let at = self
            .summaries
            .binary_search_by_key(&slot, |summary| summary.slot)
            .ok()?;
        Some(&self.summaries[at])
    }

    /// Says whether it is; before its file goes or another one gets its name.
    pub(crate) fn replace(&self, replaced: bool) {
        self.replaced.store(replaced, Ordering::Release);
    }

    /// Whether it has to be scanned to be read from.
    pub(crate) fn is_scanned(&self) -> bool {
        self.footer_at.is_none() || self.unindexed.load(Ordering::Relaxed)
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }
}
