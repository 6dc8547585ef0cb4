//! Appending: all batches of a call are laid out in one buffer and written at once.

use bytes::Bytes;

use super::{Health, Log, SlotState};
use crate::Slot;
use crate::compaction::Recent;
use crate::error::AppendError;
use crate::format::entry::{self, Kind, NO_SLOT, Previous, flag};
use crate::index::Placed;
use crate::io::write_full;
use crate::layout::Draft;
use crate::options::MOST_APPEND;
use crate::storage::{Storage, StorageFile};

/// Room of the buffer that is kept between calls.
const KEPT_BUFFER: usize = 4 << 20;

/// A record to append.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Whose record it is.
    pub slot: Slot,
    /// What compaction tells records apart by; at most 64 KiB.
    pub key: Option<Bytes>,
    /// What surrounds the value, with a checksum of its own together with the key.
    pub meta: Bytes,
    /// The value.
    pub value: Bytes,
    /// Whether it removes its key.
    pub tombstone: bool,
}

/// What happens together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Records, in order.
    pub records: Vec<NewRecord>,
    /// Notes that change; `None` removes one.
    pub notes: Vec<(Bytes, Option<Bytes>)>,
}

impl Batch {
    fn entries(&self) -> usize {
        self.records.len() + self.notes.len()
    }

    fn bytes(&self) -> u64 {
        let records = self.records.iter();
        let records = records
            .map(|record| record.key.as_ref().map_or(0, Bytes::len) + record.meta.len() + record.value.len());
        let notes = self.notes.iter();
        let notes = notes.map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len));
        (records.chain(notes).sum::<usize>() + self.entries() * entry::LENGTH) as u64
    }

    fn check(&self) -> Result<(), AppendError> {
        let keys = self.records.iter().filter_map(|record| record.key.as_ref());
        let names = self.notes.iter().map(|(name, _)| name);
        match keys.chain(names).find(|key| key.len() > usize::from(u16::MAX)) {
            None => Ok(()),
            Some(key) => Err(AppendError::TooLarge(format!(
                "a key of {} bytes; at most {} are possible",
                key.len(),
                u16::MAX
            ))),
        }
    }
}

impl<S: Storage> Log<S> {
    /// Appends all batches with one write, or none of them; the offsets of their records. They are on disk once
    /// [`Log::synced`] is at least what [`Log::last`] says right after.
    ///
    /// # Errors
    /// [`AppendError`], which says whether nothing was taken for certain.
    pub fn append(&mut self, batches: &[Batch], now_ms: i64) -> Result<Vec<Vec<i64>>, AppendError> {
        let bytes: u64 = batches.iter().map(Batch::bytes).sum();
        if bytes > MOST_APPEND {
            return Err(AppendError::TooLarge(format!(
                "batches of {bytes} bytes; at most {MOST_APPEND} are possible at once"
            )));
        }
        batches.iter().try_for_each(Batch::check)?;
        if batches.iter().all(|batch| batch.entries() == 0) {
            return Ok(vec![Vec::new(); batches.len()]);
        }
        self.ready(now_ms)?;
        let (offsets, chain) = self.lay_out(batches, now_ms);
        match self.write_buffer() {
            Ok(()) => {
                self.took(batches, chain, now_ms);
                Ok(offsets)
            }
            Err(error) => {
                for placed in &self.placed {
                    if let Some(state) = self.slots.get_mut(&placed.slot) {
                        state.next -= 1;
                    }
                }
                Err(error)
            }
        }
    }

    /// Whether the next append only writes: no segment has to be closed or begun first, nothing to be put right.
    pub fn has_room(&self) -> bool {
        matches!(self.health, Health::Good) && self.active.is_some() && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.active.as_ref().is_some_and(|active| {
            active.length >= self.options.segment_size()
                || active.index.records() >= self.options.segment_records
        })
    }

    /// Makes sure that there is a segment to write to, with nothing behind its end.
    pub(super) fn ready(&mut self, now_ms: i64) -> Result<(), AppendError> {
        match &self.health {
            Health::Failing(reason) => return Err(AppendError::Failing(reason.clone())),
            Health::Untidy => self.tidy_end().map_err(AppendError::of)?,
            Health::Good => {}
        }
        if self.is_full() {
            self.seal(now_ms)?;
        }
        if self.active.is_none() {
            self.begin_segment(now_ms).map_err(AppendError::of)?;
        }
        Ok(())
    }

    fn lay_out(&mut self, batches: &[Batch], now_ms: i64) -> (Vec<Vec<i64>>, Previous) {
        let unseen = self.unseen();
        let active = self.active.as_ref().expect("`ready` made one");
        self.buffer.clear();
        self.placed.clear();
        let mut layout = active.layout(&mut self.buffer, self.disk.synced, self.next_seq, now_ms);
        let mut offsets = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut left = batch.entries();
            let mut last = || {
                left -= 1;
                if left == 0 { flag::LAST_OF_BATCH } else { 0 }
            };
            let mut given = Vec::with_capacity(batch.records.len());
            for record in &batch.records {
                let state = self
                    .slots
                    .entry(record.slot)
                    .or_insert_with(|| SlotState::beginning(unseen));
                let offset = state.next;
                state.next += 1;
                given.push(offset);
                let position = (active.length + layout.bytes.len() as u64) as u32;
                let key = record.key.as_deref().unwrap_or_default();
                layout.put(&Draft {
                    kind: Kind::Record,
                    flags: last()
                        | if record.key.is_some() { flag::HAS_KEY } else { 0 }
                        | if record.tombstone { flag::TOMBSTONE } else { 0 },
                    slot: record.slot,
                    offset,
                    key,
                    meta: &record.meta,
                    value: &record.value,
                });
                self.placed.push(Placed {
                    slot: record.slot,
                    offset,
                    position,
                    size: (active.length + layout.bytes.len() as u64) as u32 - position,
                    timestamp: Some(now_ms),
                });
            }
            for (name, value) in &batch.notes {
                layout.put(&Draft {
                    kind: Kind::Note,
                    flags: last() | if value.is_none() { flag::TOMBSTONE } else { 0 },
                    slot: NO_SLOT,
                    offset: -1,
                    key: name,
                    meta: &[],
                    value: value.as_deref().unwrap_or_default(),
                });
            }
            offsets.push(given);
        }
        (offsets, layout.chain)
    }

    /// Remembers what was just written.
    fn took(&mut self, batches: &[Batch], chain: Previous, now_ms: i64) {
        let active = self.active.as_mut().expect("it was just written to");
        active.length += self.buffer.len() as u64;
        active.chain = chain;
        let mut placed = self.placed.drain(..);
        for batch in batches {
            for record in &batch.records {
                let place = placed.next().expect("each record was placed");
                active.index.push(place);
                if let Some(compacted) = self.compacted.get_mut(&record.slot) {
                    compacted.appended(Recent {
                        key: record.key.clone(),
                        offset: place.offset,
                        size: place.size,
                        timestamp: now_ms,
                        seq: self.next_seq,
                        tombstone: record.tombstone,
                    });
                }
                self.next_seq += 1;
            }
            for (name, value) in &batch.notes {
                self.notes.change(self.next_seq, name, value.as_ref());
                self.next_seq += 1;
            }
        }
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
    }

    /// Writes the buffer behind the end of the segment, which is dirty from then on; on failure it is cut back.
    pub(super) fn write_buffer(&mut self) -> Result<(), AppendError> {
        let active = self.active.as_ref().expect("there is one to write to");
        if self
            .disk
            .dirty
            .last()
            .is_none_or(|(number, _)| *number != active.number)
        {
            self.disk.dirty.push((active.number, active.file.clone()));
        }
        let Err(error) = write_full(&*active.file, &self.buffer, active.length) else {
            self.disk.stated = self.disk.synced;
            self.disk.marked = false;
            return Ok(());
        };
        if active.file.len().is_ok_and(|length| length == active.length) {
            return Err(AppendError::of(error));
        }
        self.health = Health::Untidy;
        match self.tidy_end() {
            Ok(()) => Err(AppendError::of(error)),
            Err(_) => Err(AppendError::Unknown(error)),
        }
    }

    /// Cuts off what stands behind the end of the segment, for good: a loss of power must not bring it back.
    fn tidy_end(&mut self) -> std::io::Result<()> {
        let active = self
            .active
            .as_ref()
            .expect("only the segment that is written is untidy");
        active.file.set_len(active.length)?;
        if let Err(error) = active.file.sync() {
            // What was written before may be lost with it.
            self.health = Health::Failing(format!("syncing segment {}: {error}", active.number));
            return Err(error);
        }
        self.health = Health::Good;
        Ok(())
    }
}
