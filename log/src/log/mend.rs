//! Going on after a failed sync. The system may have dropped what it could not write and say nothing the next time, so the
//! segment is over: what was not on disk is read back, verified, and written to a new segment, which is synced before
//! anything is believed. Its head says where the abandoned segment ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use super::{Active, Boundary, Health, Log};
use crate::Seq;
use crate::format::entry::{self, Kind, flag};
use crate::format::header::{self, Cut};
use crate::format::{checkpoint, seed, segment_name, temporary_name};
use crate::index::{Index, Placed};
use crate::io::{read_vec, write_full};
use crate::layout::{Draft, Layout};
use crate::scan::{Entry, Item, Scanner};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::sync_end::{Lost, SyncEnd, Unreadable};

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
    notes: Vec<(Seq, Bytes, Option<Bytes>)>,
    lost: Vec<Lost>,
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
        let Boundary { number, position } = self.disk.boundary;
        let sources = self.sources()?;
        let value = self.checkpoint_at_sync(number);
        let cut = Some(Cut {
            number,
            at: position as u32,
        });
        let synced = self.disk.synced;
        let active = self.make_segment(synced, cut, &value, now_ms)?;
        let made = active.number;
        let mut copied = Copied {
            active,
            expected: synced,
            notes: Vec::new(),
            lost: Vec::new(),
        };
        let done = sources
            .iter()
            .try_for_each(|source| copied.copy(source, synced, unreadable))
            .and_then(|()| {
                copied.skip_to(self.next_seq);
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

    /// A checkpoint with the notes as they were at the last sync, and the segments up to `number`.
    fn checkpoint_at_sync(&self, number: u64) -> Vec<u8> {
        let mut notes = self.notes.notes.clone();
        for (_, name, before) in self.notes.undo.iter().rev() {
            match before {
                Some(value) => notes.insert(name.clone(), value.clone()),
                None => notes.remove(name),
            };
        }
        let mut next: Vec<(u32, i64)> = self
            .slots
            .iter()
            .map(|(slot, state)| (*slot, state.next))
            .collect();
        next.sort_unstable();
        let mut numbers: Vec<u64> = self.closed.range(..number).map(|(number, _)| *number).collect();
        numbers.push(number);
        let mut bytes = Vec::new();
        checkpoint::encode(&mut bytes, &notes, next.into_iter(), numbers.into_iter());
        bytes
    }

    /// Takes the new segment for the one that is written.
    fn go_on(&mut self, copied: Copied<S::File>) -> Vec<Lost> {
        let Boundary { number, position } = self.disk.boundary;
        let voided: Vec<u64> = self
            .closed
            .range(number + 1..)
            .map(|(number, _)| *number)
            .collect();
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
        let (first_seq, index) = match self.active.take() {
            Some(active) if active.number == number => (active.first_seq, active.index),
            other => {
                if let Some(active) = other {
                    let _ = self.storage.remove(&segment_name(active.number));
                }
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
            summaries: index.summaries(),
            replaced: AtomicBool::new(false),
        }));
    }
}

impl<F: StorageFile> Copied<F> {
    fn copy(&mut self, source: &Source<F>, synced: Seq, unreadable: Unreadable) -> io::Result<()> {
        let mut scanner = Scanner::new(&*source.file, source.seed, source.from, source.to);
        let mut batch = Reading::default();
        let mut buffer = Vec::new();
        loop {
            let entry = match scanner.next() {
                Ok(Some(Item::Entry(entry))) => entry,
                Ok(Some(Item::Lost { .. })) => {
                    batch.spoiled = true;
                    continue;
                }
                Ok(None) => break,
                Err(_) if unreadable == Unreadable::GiveUp => break,
                Err(error) => return Err(error),
            };
            if entry.header.seq < synced {
                continue;
            }
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
                if !batch.spoiled {
                    self.put(&batch, synced, &mut buffer);
                }
                if buffer.len() >= PART {
                    self.write(&mut buffer)?;
                }
            }
        }
        self.write(&mut buffer)
    }

    fn put(&mut self, batch: &Reading, synced: Seq, buffer: &mut Vec<u8>) {
        for (entry, body) in &batch.entries {
            let header = entry.header;
            self.skip_to(header.seq);
            self.expected = header.seq + 1;
            if matches!(header.kind, Kind::Checkpoint | Kind::Footer) {
                continue;
            }
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

    /// What is missing before `seq` is lost.
    fn skip_to(&mut self, seq: Seq) {
        if seq > self.expected {
            self.lost.push(Lost {
                first: self.expected,
                last: seq - 1,
            });
            self.expected = seq;
        }
    }

    fn write(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        write_full(&*self.active.file, buffer, self.active.length)?;
        self.active.length += buffer.len() as u64;
        buffer.clear();
        Ok(())
    }
}
