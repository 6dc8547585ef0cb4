//! Letting go: whole segments in which nothing is wanted, and the unwanted part of others. One step at a time, each planned
//! under the lock, run outside it, and ended under it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::Log;
use crate::cleaning::{CleanPlan, Cleaned, Done, Rewrite, Step, Wanted};
use crate::compaction::{Compacted, Newest};
use crate::error::AppendError;
use crate::format::bytes::put_varint;
use crate::format::header::{self, SegmentHeader};
use crate::format::{segment_name, temporary_name};
use crate::io::read_vec;
use crate::segment::Closed;
use crate::storage::Storage;
use crate::{Seq, Slot};

/// How long a segment that could not be written anew is passed over, so that one bad sector does not stop all cleaning.
const PASSED_OVER_MS: i64 = 10 * 60 * 1000;

/// What may go in a segment.
#[derive(Debug, Default, Clone, Copy)]
struct Unwanted {
    /// Of so many bytes of records.
    total: u64,
    bytes: u64,
    dead_records: u32,
    /// Whether nothing is wanted, which needs no look at the records.
    whole: bool,
}

/// A segment of which a mark says that it goes; it does once that mark is on disk.
pub(crate) struct Leaving {
    segment: u64,
    /// The number of the mark.
    told: Seq,
    gone: Vec<(Slot, Bytes, i64)>,
}

impl<S: Storage> Log<S> {
    /// Says that of records of `slot` with the same key only the newest is wanted.
    pub fn set_compacted(&mut self, slot: Slot) {
        let next = self.state_mut(slot).next;
        let from_seq = self.next_seq;
        self.compacted
            .entry(slot)
            .or_insert_with(|| Compacted::new(next, from_seq));
    }

    /// The next step of cleaning; nothing where nothing is worth it, a step is out, or the last one is not on disk. A record
    /// is superseded once a newer one of its key is on disk and was appended `lag_ms` ago.
    pub fn plan_clean(&mut self, now_ms: i64, lag_ms: i64) -> Option<CleanPlan<S>> {
        if !self.may_clean() {
            return None;
        }
        self.let_lows_count(self.proven());
        let step = self.plan_remove().or_else(|| self.plan_learning()).or_else(|| {
            self.settle(now_ms, lag_ms);
            self.plan_rewrite(now_ms)
        })?;
        self.cleaning = true;
        self.cleaning_segment = match &step {
            Step::Rewrite(rewrite) => Some(rewrite.segment.number),
            _ => None,
        };
        Some(CleanPlan(step))
    }

    /// As [`Log::plan_clean`], but only what takes no room: removes segments in which nothing is wanted. For a disk that is
    /// nearly full.
    pub fn plan_removal(&mut self) -> Option<CleanPlan<S>> {
        if !self.may_clean() {
            return None;
        }
        // There its room is worth more than what a turned bit might do.
        self.let_lows_count(self.disk.synced);
        let step = self.plan_remove()?;
        self.cleaning = true;
        self.cleaning_segment = None;
        Some(CleanPlan(step))
    }

    fn may_clean(&self) -> bool {
        let told = self
            .leaving
            .as_ref()
            .is_none_or(|leaving| leaving.told < self.disk.synced);
        told && !self.cleaning && self.disk.renamed == self.disk.renamed_synced && self.failing().is_none()
    }

    /// Takes what came of a step, and replaces or removes the segment. Whether anything changed; then a ticket must be run
    /// before the next step.
    ///
    /// # Errors
    /// What the disk said. The segment is as it was then, and the step is planned again.
    pub fn end_clean(&mut self, result: io::Result<Cleaned<S>>, now_ms: i64) -> io::Result<bool> {
        self.cleaning = false;
        if let (Err(_), Some(number)) = (&result, self.cleaning_segment.take()) {
            self.passed_over
                .insert(number, now_ms.saturating_add(PASSED_OVER_MS));
        }
        match result?.0 {
            Done::Learned {
                slot,
                records,
                unknown,
            } => {
                if let Some(compacted) = self.compacted.get_mut(&slot) {
                    compacted.learn(records, unknown);
                }
                Ok(true)
            }
            Done::Empty { segment, gone } => {
                let gone = match self.leaving.take() {
                    Some(leaving) if leaving.segment == segment.number => leaving.gone,
                    _ if self.tell_gone(Some(segment.number), now_ms)? => {
                        self.leaving = Some(Leaving {
                            segment: segment.number,
                            told: self.last(),
                            gone,
                        });
                        return Ok(true);
                    }
                    _ => gone,
                };
                self.remove_all_void()?;
                segment.replace(true);
                match self.storage.remove(&segment_name(segment.number)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        segment.replace(false);
                        return Err(error);
                    }
                    _ => self.remove_closed(segment.number),
                }
                self.forget_keys(segment.number, gone);
                if !self.untold.is_empty() {
                    // There may be room now, and where it ends before it says so, the next start takes it for damage.
                    let _ = self.tell_gone(None, now_ms);
                }
                Ok(true)
            }
            Done::Rewritten {
                old,
                new,
                file,
                index,
                gone,
            } => {
                let (from, to) = (temporary_name(new.number), segment_name(new.number));
                old.replace(true);
                if let Err(error) = self.storage.rename(&from, &to)
                    && !self.took_place(&to, new.generation)
                {
                    old.replace(false);
                    let _ = self.storage.remove(&from);
                    return Err(error);
                }
                self.remove_closed(old.number);
                self.files.closed(&new, file, Arc::new(index));
                let number = new.number;
                self.add_closed(Arc::new(new));
                self.forget_keys(number, gone);
                Ok(true)
            }
        }
    }

    /// Writes which segments are gone and were not told, and which one `goes`: one that is missing and of which nothing says so is
    /// damage. False on a full disk, where its room is worth more: it is told when that is there, or by the next checkpoint.
    fn tell_gone(&mut self, goes: Option<u64>, now_ms: i64) -> io::Result<bool> {
        let mut numbers = Vec::new();
        for number in self.untold.iter().chain(&goes) {
            put_varint(&mut numbers, *number);
        }
        match self.write_mark(&numbers, now_ms) {
            Ok(()) => {
                self.untold.clear();
                Ok(true)
            }
            Err(AppendError::Full(_)) => {
                self.untold.extend(goes);
                Ok(false)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Whether a rename that failed has happened all the same.
    fn took_place(&self, name: &str, generation: u16) -> bool {
        let head = self
            .storage
            .open(name)
            .and_then(|file| read_vec(&*file, 0, header::LENGTH as usize));
        head.is_ok_and(|head| SegmentHeader::decode(&head).is_ok_and(|head| head.generation == generation))
    }

    /// Up to where everything is proven. A mark at the very end proves all others, and need not be.
    fn proven(&self) -> Seq {
        if self.disk.marked && self.disk.synced == self.next_seq {
            self.next_seq
        } else {
            self.disk.proven
        }
    }

    /// What made them right must be `proven`: a turned bit in what is not may look torn, and be cut off.
    fn let_lows_count(&mut self, proven: Seq) {
        for state in self.slots.values_mut() {
            if let Some((seq, low)) = state.pending_low
                && seq <= proven
            {
                state.low = low;
                state.pending_low = None;
            }
        }
    }

    fn settle(&mut self, now_ms: i64, lag_ms: i64) {
        let mut compacted = std::mem::take(&mut self.compacted);
        let learned = compacted.iter_mut().filter(|(_, compacted)| compacted.learned);
        for (slot, compacted) in learned {
            compacted.settle(now_ms, lag_ms, self.proven(), |offset| {
                self.segment_of(*slot, offset)
            });
        }
        self.compacted = compacted;
    }

    /// The segment that holds an offset, or the first one behind it.
    fn segment_of(&self, slot: Slot, offset: i64) -> u64 {
        let closed = self.closed_at(slot, offset).map(|segment| segment.number);
        let open = self.active.as_ref().map(|active| active.number);
        closed.or(open).unwrap_or(0)
    }

    /// Closed segments that may be cleaned, oldest first.
    fn candidates(&self) -> impl Iterator<Item = &Arc<Closed>> {
        let most = self.closed.len().saturating_sub(self.options.never_cleaned);
        let candidates = self.closed.values().take(most);
        candidates.take_while(|segment| segment.end_seq <= self.disk.proven)
    }

    fn plan_remove(&self) -> Option<Step<S>> {
        if let Some(leaving) = &self.leaving {
            let segment = self.closed.get(&leaving.segment)?;
            return Some(Step::Remove(Arc::clone(segment)));
        }
        // What says where an abandoned one ends goes after that one was written anew.
        let mut whole = self
            .candidates()
            .take_while(|segment| segment.footer_at.is_some() || self.unwanted(segment).whole)
            .filter(|segment| self.unwanted(segment).whole);
        whole.next().map(|segment| Step::Remove(Arc::clone(segment)))
    }

    fn plan_rewrite(&self, now_ms: i64) -> Option<Step<S>> {
        let mut abandoned = false;
        for segment in self.candidates() {
            // It may be the one that says where an abandoned one ends that is still there.
            if abandoned && segment.cut.is_some() {
                continue;
            }
            if self
                .passed_over
                .get(&segment.number)
                .is_some_and(|until| now_ms < *until)
            {
                abandoned |= segment.footer_at.is_none();
                continue;
            }
            let unwanted = self.unwanted(segment);
            if unwanted.whole {
                return Some(Step::Remove(Arc::clone(segment)));
            }
            let worth = unwanted.bytes > 0 && unwanted.bytes * 2 >= unwanted.total;
            if worth || unwanted.dead_records >= self.options.dead_records || segment.is_scanned() {
                return Some(Step::Rewrite(Rewrite {
                    segment: Arc::clone(segment),
                    storage: Arc::clone(&self.storage),
                    files: Arc::clone(&self.files),
                    salt: self.salt,
                    now_ms,
                    wanted: self.wanted(segment),
                }));
            }
        }
        None
    }

    fn unwanted(&self, segment: &Closed) -> Unwanted {
        let mut unwanted = Unwanted {
            whole: true,
            ..Unwanted::default()
        };
        for summary in &segment.summaries {
            unwanted.total += summary.bytes;
            let low = self.slots.get(&summary.slot).map_or(0, |state| state.low);
            if low >= summary.end {
                unwanted.bytes += summary.bytes;
                // Whose keys must be counted is looked at.
                unwanted.whole &= !self.compacted.contains_key(&summary.slot);
                continue;
            }
            unwanted.whole = false;
            if low > summary.first {
                let span = (summary.end - summary.first) as u64;
                let below = (low - summary.first) as u64;
                unwanted.bytes += summary.bytes / span * below;
            }
            if let Some(compacted) = self.compacted.get(&summary.slot) {
                let dead = compacted.dead(segment.number);
                unwanted.bytes += dead.bytes;
                unwanted.dead_records += dead.records;
            }
        }
        unwanted
    }

    fn wanted(&self, segment: &Closed) -> BTreeMap<Slot, Wanted> {
        let slots = segment.summaries.iter().map(|summary| summary.slot);
        slots
            .filter_map(|slot| {
                let state = self.slots.get(&slot)?;
                let newest = self.compacted.get(&slot).map(|compacted| {
                    let newest = compacted.newest();
                    // What could not be read may be older than any of them, and be back the next time. The newest record of a slot says which offset comes next; one that is not settled may yet be cut off.
                    let last = newest.values().map(|newest| newest.offset).max();
                    let known = !compacted.unknown;
                    let done = |newest: &Newest| known && newest.is_done() && Some(newest.offset) < last;
                    newest
                        .iter()
                        .map(|(key, newest)| (key.clone(), (newest.offset, done(newest))))
                        .collect()
                });
                Some((
                    slot,
                    Wanted {
                        low: state.low,
                        newest,
                    },
                ))
            })
            .collect()
    }

    /// A segment changed on disk: what is gone is gone for good once the folder is synced, and nothing is planned before.
    fn forget_keys(&mut self, segment: u64, gone: Vec<(Slot, Bytes, i64)>) {
        self.disk.folder_dirty = true;
        self.disk.renamed += 1;
        let mut by_slot: BTreeMap<Slot, Vec<(Bytes, i64)>> = BTreeMap::new();
        for (slot, key, offset) in gone {
            by_slot.entry(slot).or_default().push((key, offset));
        }
        let mut compacted = std::mem::take(&mut self.compacted);
        for (slot, compacted) in &mut compacted {
            let gone = by_slot.remove(slot).unwrap_or_default();
            compacted.cleaned(segment, &gone, |offset| self.segment_of(*slot, offset));
        }
        self.compacted = compacted;
    }
}
