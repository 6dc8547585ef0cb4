//! The segment to which batches are written again that are read back from those it takes the place of.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::Active;
use crate::format::checkpoint::{self, Checkpoint, Notes};
use crate::format::entry::{self, Kind, flag};
use crate::format::header::LENGTH as FRONT;
use crate::index::{Index, Placed};
use crate::io::{read_vec, write_full};
use crate::layout::{Draft, without_slot};
use crate::scan::{Entry, Item, Scanner};
use crate::storage::StorageFile;
use crate::sync_end::{Lost, Unreadable};
use crate::{Seq, Slot};

/// Bytes written at once.
const PART: usize = 1 << 20;

/// What was written but is not on disk: some segments from a place on.
pub(super) struct Source<F> {
    pub file: Arc<F>,
    pub seed: u32,
    pub from: u64,
    pub to: u64,
}

/// The new segment and what was copied to it so far.
pub(super) struct Successor<F> {
    pub active: Active<F>,
    /// The number that the next entry should have.
    pub expected: Seq,
    pub notes: Vec<(Seq, Bytes, Option<Bytes>)>,
    pub lost: Vec<Lost>,
    pub base: Base,
    /// Where the records are that stand before the last sync's end, in its segment.
    pub held: Index,
    /// The next offset of each slot, the lost ones included: they were given to others already.
    pub next: Vec<(Slot, i64)>,
}

/// What was known at the last sync.
pub(super) struct Base {
    pub notes: Notes,
    pub next: Vec<(Slot, i64)>,
    pub segments: Vec<u64>,
}

impl<F: StorageFile> Source<F> {
    /// What it opens with, where it is copied from its front on.
    pub(super) fn opening(&self, unreadable: Unreadable) -> io::Result<Option<Checkpoint>> {
        if self.from > FRONT {
            return Ok(None);
        }
        let mut scanner = Scanner::new(&*self.file, self.seed, self.from, self.to);
        let opening = scanner.next().and_then(|item| match item {
            Some(Item::Entry(entry)) if entry.header.kind == Kind::Checkpoint && entry.is_whole() => {
                scanner.value(&entry).map(|value| checkpoint::decode(&value))
            }
            _ => Ok(None),
        });
        match unreadable {
            Unreadable::Wait => opening,
            Unreadable::GiveUp => Ok(opening.unwrap_or_default()),
        }
    }
}

impl Base {
    /// What was written behind the last sync opens with what was known then. Offsets that an earlier failed sync lost are not
    /// told by any record.
    pub(super) fn reach_no_more_than(&mut self, opening: Option<Checkpoint>) {
        let Some(opening) = opening else { return };
        let said: BTreeMap<Slot, i64> = opening.next.into_iter().collect();
        for (slot, next) in &mut self.next {
            *next = said.get(slot).copied().unwrap_or(0).min(*next);
        }
    }

    pub(super) fn encode(&self, next: &[(Slot, i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let segments = self.segments.iter().copied();
        checkpoint::encode(&mut bytes, &self.notes, next.iter().copied(), segments);
        bytes
    }
}

/// A batch that is being read.
#[derive(Default)]
pub(super) struct Reading {
    pub entries: Vec<(Entry, Vec<u8>)>,
    pub spoiled: bool,
}

impl<F: StorageFile> Successor<F> {
    pub(super) fn copy(&mut self, source: &Source<F>, synced: Seq, unreadable: Unreadable) -> io::Result<()> {
        let mut scanner = Scanner::new(&*source.file, source.seed, source.from, source.to);
        if unreadable == Unreadable::GiveUp {
            // One unreadable page costs what is in it, and not all that stands behind.
            scanner = scanner.around();
        }
        let mut batch = Reading::default();
        let mut follows = self.expected;
        let mut buffer = Vec::new();
        loop {
            let entry = match scanner.next()? {
                Some(Item::Entry(entry)) => entry,
                Some(Item::Lost { .. }) => continue,
                None => break,
            };
            if entry.header.seq < synced {
                continue;
            }
            // Also where what was lost holds what looks like an entry, up to its end.
            batch.spoiled |= entry.header.seq > follows;
            follows = entry.header.seq + 1;
            let at = entry.position + entry::LENGTH as u64;
            let length = entry.header.size() - entry::LENGTH as u64;
            let body = match read_vec(&*source.file, at, length as usize) {
                Err(error) if unreadable == Unreadable::Wait => return Err(error),
                other => other.unwrap_or_default(),
            };
            batch.spoiled |= !entry.is_whole() || body.len() as u64 != length;
            let last = entry.header.has(flag::LAST_OF_BATCH);
            batch.entries.push((entry, body));
            if last {
                let batch = std::mem::take(&mut batch);
                if batch.spoiled {
                    self.lose_below(follows, synced, &mut buffer);
                } else {
                    self.put(&batch, synced, &mut buffer);
                }
                if buffer.len() >= PART {
                    self.write(&mut buffer)?;
                }
            }
            if entry.header.kind == Kind::Footer {
                break;
            }
        }
        self.write(&mut buffer)
    }

    fn put(&mut self, batch: &Reading, synced: Seq, buffer: &mut Vec<u8>) {
        for (entry, body) in &batch.entries {
            let header = entry.header;
            if matches!(header.kind, Kind::Checkpoint | Kind::Footer) {
                // This one opens with a checkpoint, and closes with its own.
                self.fill(header.seq + 1, synced, buffer);
                continue;
            }
            self.fill(header.seq, synced, buffer);
            self.expected = header.seq + 1;
            let position = self.active.length + buffer.len() as u64;
            let mut layout = self.active.layout(buffer, synced, header.seq, header.timestamp);
            let (meta, value) = body.split_at(header.meta_len as usize);
            let (key, meta) = meta.split_at(usize::from(header.key_len));
            layout.put(&Draft {
                kind: header.kind,
                flags: header.flags,
                slot: header.slot,
                offset: header.offset,
                key,
                meta,
                value,
            });
            self.active.chain = layout.chain;
            match header.kind {
                Kind::Record => self.active.index.push(Placed {
                    slot: header.slot,
                    offset: header.offset,
                    position: position as u32,
                    size: header.size() as u32,
                    timestamp: Some(header.timestamp),
                }),
                Kind::Note => {
                    let value = (!header.has(flag::TOMBSTONE)).then(|| Bytes::copy_from_slice(value));
                    self.notes.push((header.seq, Bytes::copy_from_slice(key), value));
                }
                _ => {}
            }
        }
    }

    /// Marks take the numbers below `seq` that are not there: a number that is missing says that something was lost.
    pub(super) fn fill(&mut self, seq: Seq, synced: Seq, buffer: &mut Vec<u8>) {
        let mut layout = self
            .active
            .layout(buffer, synced, self.expected, self.active.created_ms);
        while layout.seq < seq {
            layout.put(&without_slot(Kind::Mark, flag::LAST_OF_BATCH, &[], &[]));
        }
        self.active.chain = layout.chain;
        self.expected = self.expected.max(seq);
    }

    /// What was expected below `seq` is lost.
    pub(super) fn lose_below(&mut self, seq: Seq, synced: Seq, buffer: &mut Vec<u8>) {
        if seq <= self.expected {
            return;
        }
        self.lost.push(Lost {
            first: self.expected,
            last: seq - 1,
        });
        self.fill(seq, synced, buffer);
    }

    /// Ends with a checkpoint where nothing else says which offsets were given to what is lost, now or before.
    pub(super) fn pin(&mut self, synced: Seq, buffer: &mut Vec<u8>) {
        let mut reached: BTreeMap<Slot, i64> = self.base.next.iter().copied().collect();
        reached.extend(
            self.active
                .index
                .summaries()
                .iter()
                .map(|held| (held.slot, held.end)),
        );
        let is_said = |(slot, next): &(Slot, i64)| *next <= reached.get(slot).copied().unwrap_or(0);
        if self.next.iter().all(is_said) {
            return;
        }
        let mut notes = self.base.notes.clone();
        for (_, name, value) in &self.notes {
            match value {
                Some(value) => notes.insert(name.clone(), value.clone()),
                None => notes.remove(name),
            };
        }
        let mut value = Vec::new();
        let segments = self.base.segments.iter().copied().chain([self.active.number]);
        let segments: Vec<u64> = segments.collect();
        checkpoint::encode(
            &mut value,
            &notes,
            self.next.iter().copied(),
            segments.into_iter(),
        );
        let mut layout = self
            .active
            .layout(buffer, synced, self.expected, self.active.created_ms);
        // Twice, as at the front and the end of a segment, so that one may be damaged.
        for _ in 0..2 {
            layout.put(&without_slot(Kind::Checkpoint, flag::LAST_OF_BATCH, &[], &value));
        }
        self.expected = layout.seq;
        self.active.chain = layout.chain;
    }

    pub(super) fn write(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        write_full(&*self.active.file, buffer, self.active.length)?;
        self.active.length += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }
}
