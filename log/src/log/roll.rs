//! Closing a segment and beginning the next. Nothing is synced here: a ticket syncs the older file first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Active, Log};
use crate::Slot;
use crate::error::AppendError;
use crate::format::entry::{Kind, Previous, flag};
use crate::format::footer::{Contents, TRAILER, encode_contents, encode_trailer};
use crate::format::header::{Cut, LENGTH, SegmentHeader};
use crate::format::{checkpoint, seed, segment_name, temporary_name};
use crate::index::Index;
use crate::io::write_full;
use crate::layout::{Layout, without_slot};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};

impl<S: Storage> Log<S> {
    /// Closes the segment if it is older than [`crate::Options::segment_age_ms`] and holds records, so that retention can
    /// take it. Whether it did; what was written then is on disk after the next ticket.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn roll_if_old(&mut self, now_ms: i64) -> Result<bool, AppendError> {
        let age = self.options.segment_age_ms;
        if let Some(active) = &mut self.active {
            // Begun while the clock was ahead: it is as old as when that is first seen.
            active.created_ms = active.created_ms.min(now_ms);
        }
        let old = self.active.as_ref().is_some_and(|active| {
            active.index.records() > 0 && now_ms.saturating_sub(active.created_ms) >= age
        });
        if old {
            self.roll(now_ms)?;
        }
        Ok(old)
    }

    /// Closes the segment and begins the next.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn roll(&mut self, now_ms: i64) -> Result<(), AppendError> {
        self.ready(now_ms)?;
        self.seal(now_ms)?;
        self.begin_segment(now_ms).map_err(AppendError::of)
    }

    /// Writes checkpoint and footer; there is no segment to write to then.
    pub(super) fn seal(&mut self, now_ms: i64) -> Result<(), AppendError> {
        let value = self.checkpoint();
        let active = self.active.as_ref().expect("only what is written is closed");
        let contents = Contents {
            end_seq: self.next_seq + 2,
            checkpoint_at: active.length as u32,
            summaries: active.index.summaries(),
        };
        let meta = encode_contents(&contents);
        let places = active.index.encode(&contents.summaries);
        self.buffer.clear();
        let mut layout = active.layout(&mut self.buffer, self.disk.synced, self.next_seq, now_ms);
        layout.put(&without_slot(Kind::Checkpoint, 0, &[], &value));
        let footer_at = active.length + layout.bytes.len() as u64;
        layout.put(&without_slot(Kind::Footer, flag::LAST_OF_BATCH, &meta, &places));
        let trailer: [u8; TRAILER] = encode_trailer(footer_at, meta.len() as u32, self.salt);
        self.buffer.extend_from_slice(&trailer);
        self.write_buffer()?;
        let active = self.active.take().expect("it was just written to");
        self.next_seq = contents.end_seq;
        self.leaving = None;
        let segment = Arc::new(Closed {
            number: active.number,
            generation: 0,
            first_seq: active.first_seq,
            end_seq: contents.end_seq,
            length: active.length + self.buffer.len() as u64,
            footer_at: Some(footer_at),
            cut: active.cut,
            summaries: contents.summaries,
            unindexed: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        });
        let index = Arc::new(active.index);
        self.disk.indexes.insert(segment.number, Arc::clone(&index));
        self.files.closed(&segment, active.file, index);
        self.add_closed(segment);
        Ok(())
    }

    /// Makes the next segment, with its head and a checkpoint.
    pub(crate) fn begin_segment(&mut self, now_ms: i64) -> io::Result<()> {
        let value = self.checkpoint();
        let active = self.make_segment(self.next_seq, None, &value, now_ms)?;
        // Nothing else says what its head says, or what is cut off now said.
        if self.closed.is_empty() || self.uncut.is_some() {
            let synced = active.file.sync().and_then(|()| self.storage.sync_folder());
            let cut = synced.and_then(|()| self.uncut.as_ref().map_or(Ok(()), |uncut| self.cut(uncut)));
            if let Err(error) = cut {
                self.remove_void(active.number);
                return Err(error);
            }
            self.uncut = None;
        }
        self.disk.dirty.push((active.number, Arc::clone(&active.file)));
        self.disk.folder_dirty = true;
        self.disk.stated = self.disk.synced;
        self.disk.marked = false;
        self.leaving = None;
        self.untold.clear();
        self.active = Some(active);
        Ok(())
    }

    /// Makes a segment whose first entry is to be `first_seq`. Its opening checkpoint bears the number before.
    pub(super) fn make_segment(
        &mut self,
        first_seq: u64,
        cut: Option<Cut>,
        value: &[u8],
        now_ms: i64,
    ) -> io::Result<Active<S::File>> {
        let number = self.next_number;
        // What fails half made is left behind: the number is not used again.
        self.next_number += 1;
        let seed = seed(self.salt, number);
        let header = SegmentHeader {
            generation: 0,
            number,
            first_seq,
            salt: self.salt,
            created_ms: now_ms,
            cut,
        };
        let mut bytes = header.encode().to_vec();
        let mut layout = Layout {
            bytes: &mut bytes,
            seed,
            synced: self.disk.synced,
            now_ms,
            seq: first_seq - 1,
            chain: Previous::NONE,
        };
        layout.put(&without_slot(Kind::Checkpoint, flag::LAST_OF_BATCH, &[], value));
        let chain = layout.chain;
        // One that ends another counts only as a whole, so it gets its name when all of it is on disk.
        let name = if cut.is_some() {
            temporary_name(number)
        } else {
            segment_name(number)
        };
        if cut.is_some() {
            // Left over from an attempt that failed.
            let _ = self.storage.remove(&name);
        }
        let file = self.storage.create(&name)?;
        if let Err(error) = write_full(&*file, &bytes, 0) {
            // Left behind it would be taken for a torn beginning, and cut off.
            if cut.is_some() {
                let _ = self.storage.remove(&name);
            } else {
                self.remove_void(number);
            }
            return Err(error);
        }
        debug_assert!(bytes.len() as u64 > LENGTH);
        Ok(Active {
            number,
            file,
            first_seq,
            created_ms: now_ms,
            cut,
            length: bytes.len() as u64,
            seed,
            chain,
            index: Index::default(),
        })
    }

    pub(super) fn next_offsets(&self) -> Vec<(Slot, i64)> {
        let mut next: Vec<(Slot, i64)> = self
            .slots
            .iter()
            .map(|(slot, state)| (*slot, state.next))
            .collect();
        next.sort_unstable();
        next
    }

    pub(super) fn checkpoint(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let next = self.next_offsets();
        let numbers: Vec<u64> = self
            .closed
            .keys()
            .copied()
            .chain(self.active.as_ref().map(|active| active.number))
            .collect();
        checkpoint::encode(
            &mut bytes,
            &self.notes.notes,
            next.into_iter(),
            numbers.into_iter(),
        );
        bytes
    }
}
