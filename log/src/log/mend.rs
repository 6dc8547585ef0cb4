//! Going on after a failed sync. The system may have dropped what it could not write and say nothing the next time, so the
//! segment is over: what was not on disk is read back, verified, and written to a new segment, which is synced before
//! anything is believed. Its head says where the abandoned segment ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::{Active, Boundary, Health, Log};
use crate::format::checkpoint::{self, Notes};
use crate::format::entry::{self, Kind, flag};
use crate::format::header::{self, Cut};
use crate::format::{seed, segment_name, temporary_name};
use crate::index::{Index, Placed};
use crate::io::{read_vec, write_full};
use crate::layout::{Draft, Layout, without_slot};
use crate::scan::{Entry, Item, Scanner};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::sync_end::{Lost, SyncEnd, Unreadable};
use crate::{Seq, Slot};

/// Bytes written at once.
const PART: usize = 1 << 20;

/// What was written but is not on disk: some segments from a place on.
struct Source<F> {
    file: Arc<F>,
    seed: u32,
    from: u64,
    to: u64,
}

/// What was copied so far.
struct Copied<F> {
    active: Active<F>,
    /// The number that the next entry should have.
    expected: Seq,
    /// Something behind it cannot be read.
    broken: bool,
    notes: Vec<(Seq, Bytes, Option<Bytes>)>,
    lost: Vec<Lost>,
    base: Base,
    /// The next offset of each slot, the lost ones included: they were given to others already.
    next: Vec<(Slot, i64)>,
}

/// What was known at the last sync.
struct Base {
    notes: Notes,
    next: Vec<(Slot, i64)>,
    segments: Vec<u64>,
}

impl Base {
    fn encode(&self, next: &[(Slot, i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let segments = self.segments.iter().copied();
        checkpoint::encode(&mut bytes, &self.notes, next.iter().copied(), segments);
        bytes
    }
}

/// A batch that is being read.
#[derive(Default)]
struct Reading {
    entries: Vec<(Entry, Vec<u8>)>,
    spoiled: bool,
}

impl<S: Storage> Log<S> {
    /// Tries to go on after a failed sync. Does nothing while the log is not failing, or while a ticket is out.
    pub fn mend(&mut self, now_ms: i64, unreadable: Unreadable) -> SyncEnd {
        let mut lost = Vec::new();
        if self.failing().is_some() && !self.disk.in_flight {
            match self.rewrite(now_ms, unreadable) {
                Ok(copied) => lost = self.go_on(copied),
                Err(error) => self.health = Health::Failing(error.to_string()),
            }
        }
        SyncEnd {
            synced: self.synced(),
            lost,
            failing: self.failing().map(str::to_owned),
        }
    }

    /// Copies what is not on disk to a new segment and syncs that. Changes nothing that is known.
    fn rewrite(&mut self, now_ms: i64, unreadable: Unreadable) -> io::Result<Copied<S::File>> {
        let number = self.disk.boundary.number;
        let sources = self.sources()?;
        let base = self.at_sync(number)?;
        let cut = Some(self.cut_at_sync());
        let synced = self.disk.synced;
        let active = self.make_segment(synced, cut, &base.encode(&base.next), now_ms)?;
        let made = active.number;
        let mut copied = Copied {
            active,
            expected: synced,
            broken: false,
            notes: Vec::new(),
            lost: Vec::new(),
            base,
            next: self.next_offsets(),
        };
        let done = sources
            .iter()
            .try_for_each(|source| copied.copy(source, synced, unreadable))
            .and_then(|()| {
                let mut buffer = Vec::new();
                if copied.broken {
                    copied.lose_below(self.next_seq, synced, &mut buffer);
                } else {
                    copied.fill(self.next_seq, synced, &mut buffer);
                }
                copied.write(&mut buffer)?;
                copied.active.file.sync()?;
                self.storage.rename(&temporary_name(made), &segment_name(made))?;
                self.storage.sync_folder()
            });
        if let Err(error) = done {
            let _ = self.storage.remove(&temporary_name(made));
            return Err(error);
        }
        Ok(copied)
    }

    fn sources(&self) -> io::Result<Vec<Source<S::File>>> {
        let Boundary { number, position } = self.disk.boundary;
        let mut sources = Vec::new();
        for segment in self.closed.range(number..).map(|(_, segment)| segment) {
            let dirty = self
                .disk
                .dirty
                .iter()
                .find(|(number, _)| *number == segment.number);
            let file = match dirty {
                Some((_, file)) => Some(Arc::clone(file)),
                None => self.files.file(segment)?,
            };
            sources.extend(file.map(|file| Source {
                file,
                seed: seed(self.salt, segment.number),
                from: if segment.number == number {
                    position
                } else {
                    header::LENGTH
                },
                to: segment.length,
            }));
        }
        sources.extend(self.active.as_ref().map(|active| Source {
            file: Arc::clone(&active.file),
            seed: active.seed,
            from: if active.number == number {
                position
            } else {
                header::LENGTH
            },
            to: active.length,
        }));
        Ok(sources)
    }

    /// What was known at the last sync, with the segments up to `number`.
    fn at_sync(&self, number: u64) -> io::Result<Base> {
        let mut notes = self.notes.notes.clone();
        for (_, name, before) in self.notes.undo.iter().rev() {
            match before {
                Some(value) => notes.insert(name.clone(), value.clone()),
                None => notes.remove(name),
            };
        }
        let mut segments: Vec<u64> = self.closed.range(..number).map(|(number, _)| *number).collect();
        segments.extend((!self.is_void_at_sync(number)).then_some(number));
        let mut next: BTreeMap<Slot, i64> = self.next_offsets().into_iter().collect();
        for segment in self.closed.range(number..).map(|(_, segment)| segment) {
            if let Some(index) = self.files.index(segment)? {
                self.lower(&mut next, segment.number, &index);
            }
        }
        if let Some(active) = &self.active {
            self.lower(&mut next, active.number, &active.index);
        }
        Ok(Base {
            notes,
            next: next.into_iter().collect(),
            segments,
        })
    }

    /// Takes back the offsets of records that were not on disk at the last sync.
    fn lower(&self, next: &mut BTreeMap<Slot, i64>, number: u64, index: &Index) {
        let Boundary {
            number: last,
            position,
        } = self.disk.boundary;
        for (slot, offset, place) in index.all() {
            if number > last || u64::from(place.position) >= position {
                next.entry(slot).and_modify(|next| *next = offset.min(*next));
            }
        }
    }

    /// Where what was on disk at the last sync ends.
    fn cut_at_sync(&self) -> Cut {
        let Boundary { number, position } = self.disk.boundary;
        if !self.is_void_at_sync(number) {
            return Cut {
                number,
                at: position as u32,
            };
        }
        // That segment goes, and what it said of an earlier one must still be said.
        let said = match (&self.active, self.closed.get(&number)) {
            (Some(active), _) if active.number == number => active.cut,
            (_, closed) => closed.and_then(|segment| segment.cut),
        };
        let before = self.closed.range(..number).next_back();
        said.unwrap_or(before.map_or(Cut { number: 0, at: 0 }, |(number, segment)| Cut {
            number: *number,
            at: segment.length as u32,
        }))
    }

    /// Whether nothing of a segment was on disk at the last sync but its beginning.
    fn is_void_at_sync(&self, number: u64) -> bool {
        let first_seq = match (&self.active, self.closed.get(&number)) {
            (Some(active), _) if active.number == number => Some(active.first_seq),
            (_, closed) => closed.map(|segment| segment.first_seq),
        };
        first_seq.is_none_or(|first_seq| first_seq >= self.disk.synced)
    }

    /// Takes the new segment for the one that is written.
    fn go_on(&mut self, copied: Copied<S::File>) -> Vec<Lost> {
        let Boundary { number, position } = self.disk.boundary;
        let from = if self.is_void_at_sync(number) {
            number
        } else {
            number + 1
        };
        if self.active.as_ref().is_some_and(|active| active.number >= from)
            && let Some(active) = self.active.take()
        {
            let _ = self.storage.remove(&segment_name(active.number));
        }
        let voided: Vec<u64> = self.closed.range(from..).map(|(number, _)| *number).collect();
        for number in voided {
            self.remove_closed(number);
            let _ = self.storage.remove(&segment_name(number));
        }
        self.abandon(number, position);
        self.notes.undo();
        for (seq, name, value) in copied.notes {
            self.notes.change(seq, &name, value.as_ref());
        }
        self.notes.settle(self.next_seq);
        for compacted in self.compacted.values_mut() {
            compacted.forget(&copied.lost);
        }
        self.disk.boundary = Boundary {
            number: copied.active.number,
            position: copied.active.length,
        };
        self.disk.stated = self.disk.synced;
        self.disk.marked = false;
        self.disk.synced = self.next_seq;
        self.disk.dirty.clear();
        self.disk.folder_dirty = false;
        self.disk.renamed_synced = self.disk.renamed;
        self.active = Some(copied.active);
        self.health = Health::Good;
        copied.lost
    }

    /// The segment in which the last sync ended is closed there, without a footer.
    fn abandon(&mut self, number: u64, position: u64) {
        let (first_seq, cut, index) = match self.active.take() {
            Some(active) if active.number == number => (active.first_seq, active.cut, active.index),
            _ => {
                let Some(segment) = self.closed.get(&number).cloned() else {
                    return;
                };
                if position >= segment.length {
                    return;
                }
                let index = self.files.index(&segment).ok().flatten();
                self.remove_closed(number);
                (
                    segment.first_seq,
                    segment.cut,
                    index.map_or_else(Index::default, |index| Index::clone(&index)),
                )
            }
        };
        let index = index.before(position);
        self.add_closed(Arc::new(Closed {
            number,
            generation: 0,
            first_seq,
            end_seq: self.disk.synced,
            length: position,
            footer_at: None,
            cut,
            summaries: index.summaries(),
            replaced: AtomicBool::new(false),
        }));
    }
}

impl<F: StorageFile> Copied<F> {
    fn copy(&mut self, source: &Source<F>, synced: Seq, unreadable: Unreadable) -> io::Result<()> {
        let mut scanner = Scanner::new(&*source.file, source.seed, source.from, source.to);
        let mut batch = Reading::default();
        let mut follows = self.expected;
        let mut buffer = Vec::new();
        loop {
            let entry = match scanner.next() {
                Ok(Some(Item::Entry(entry))) => entry,
                Ok(Some(Item::Lost { .. })) => {
                    self.broken = true;
                    continue;
                }
                Ok(None) => break,
                Err(_) if unreadable == Unreadable::GiveUp => {
                    self.broken = true;
                    break;
                }
                Err(error) => return Err(error),
            };
            if entry.header.seq < synced {
                continue;
            }
            if entry.header.seq > follows && self.broken {
                batch.spoiled = true;
            }
            self.broken = false;
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
        self.broken |= !batch.entries.is_empty();
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
            let mut layout = Layout {
                bytes: &mut *buffer,
                seed: self.active.seed,
                synced,
                now_ms: header.timestamp,
                seq: header.seq,
                chain: self.active.chain,
            };
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
    fn fill(&mut self, seq: Seq, synced: Seq, buffer: &mut Vec<u8>) {
        let mut layout = Layout {
            bytes: buffer,
            seed: self.active.seed,
            synced,
            now_ms: self.active.created_ms,
            seq: self.expected,
            chain: self.active.chain,
        };
        while layout.seq < seq {
            layout.put(&without_slot(Kind::Mark, flag::LAST_OF_BATCH, &[], &[]));
        }
        self.active.chain = layout.chain;
        self.expected = self.expected.max(seq);
    }

    /// What was expected below `seq` is lost: a checkpoint says which offsets were given to it.
    fn lose_below(&mut self, seq: Seq, synced: Seq, buffer: &mut Vec<u8>) {
        if seq <= self.expected {
            return;
        }
        self.lost.push(Lost {
            first: self.expected,
            last: seq - 1,
        });
        self.fill(seq - 1, synced, buffer);
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
        let mut layout = Layout {
            bytes: buffer,
            seed: self.active.seed,
            synced,
            now_ms: self.active.created_ms,
            seq: seq - 1,
            chain: self.active.chain,
        };
        layout.put(&without_slot(Kind::Checkpoint, flag::LAST_OF_BATCH, &[], &value));
        self.active.chain = layout.chain;
        self.expected = seq;
    }

    fn write(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        write_full(&*self.active.file, buffer, self.active.length)?;
        self.active.length += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }
}
