//! Going on after a failed sync. The system may have dropped what it could not write and say nothing the next time, so the
//! segment is over: what was not on disk is read back, verified, and written to a new segment, which is synced before
//! anything is believed. Its head says where the abandoned segment ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::successor::{Base, Source, Successor};
use super::{Boundary, Health, Log};
use crate::Slot;
use crate::format::header::{self, Cut};
use crate::format::{seed, segment_name, temporary_name};
use crate::index::Index;
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::sync_end::{Lost, SyncEnd, Unreadable};
use crate::uncut::Uncut;

impl<S: Storage> Log<S> {
    /// Tries to go on after a failed sync. Does nothing while the log is not failing, or while a ticket is out.
    pub fn mend(&mut self, now_ms: i64, unreadable: Unreadable) -> SyncEnd {
        let mut lost = Vec::new();
        if self.failing().is_some() && !self.disk.in_flight {
            match self.rewrite(now_ms, unreadable) {
                Ok(successor) => lost = self.go_on(successor),
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
    fn rewrite(&mut self, now_ms: i64, unreadable: Unreadable) -> io::Result<Successor<S::File>> {
        self.put_back(unreadable)?;
        let sources = self.sources()?;
        let (mut base, held) = self.at_sync(unreadable)?;
        if let Some(first) = sources.first() {
            base.reach_no_more_than(first.opening(unreadable)?);
        }
        let cut = Some(self.cut_at_sync());
        let synced = self.disk.synced;
        let active = self.make_segment(synced, cut, &base.encode(&base.next), now_ms)?;
        let made = active.number;
        let mut successor = Successor {
            active,
            expected: synced,
            notes: Vec::new(),
            lost: Vec::new(),
            base,
            held,
            next: self.next_offsets(),
        };
        let done = sources
            .iter()
            .try_for_each(|source| successor.copy(source, synced, unreadable))
            .and_then(|()| {
                let mut buffer = Vec::new();
                successor.lose_below(self.next_seq, synced, &mut buffer);
                successor.pin(synced, &mut buffer);
                successor.write(&mut buffer)?;
                successor.active.file.sync()?;
                self.storage.rename(&temporary_name(made), &segment_name(made))?;
                self.storage.sync_folder()
            });
        if let Err(error) = done {
            // It may have its name already: each try would leave another.
            let _ = self.storage.remove(&temporary_name(made));
            self.remove_void(made);
            return Err(error);
        }
        Ok(successor)
    }

    fn sources(&self) -> io::Result<Vec<Source<S::File>>> {
        let Boundary { number, position } = self.disk.boundary;
        let mut sources = Vec::new();
        // What an older one holds behind that was cut off, and is not to come back.
        let behind = self.closed.range(number..).map(|(_, segment)| segment);
        for segment in behind.filter(|segment| segment.end_seq > self.disk.synced) {
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

    /// What was known at the last sync, with the segments up to the one in which it ended; and where the records of that one
    /// are, if it goes on behind.
    fn at_sync(&self, unreadable: Unreadable) -> io::Result<(Base, Index)> {
        let Boundary { number, position } = self.disk.boundary;
        let mut notes = self.notes.notes.clone();
        for (_, name, before) in self.notes.undo.iter().rev() {
            match before {
                Some(value) => notes.insert(name.clone(), value.clone()),
                None => notes.remove(name),
            };
        }
        let mut segments: Vec<u64> = self.closed.range(..number).map(|(number, _)| *number).collect();
        segments.extend((!self.is_void_at_sync(number)).then_some(number));
        let held = self.held_at_sync(unreadable)?;
        // Only what is in memory says which offsets were given to what the disk may not give back.
        let mut next: BTreeMap<Slot, i64> = self.next_offsets().into_iter().collect();
        let closed = self.closed.range(number..);
        let closed = closed.filter(|(_, segment)| segment.number > number || position < segment.length);
        let later = closed.map(|(number, segment)| (*number, segment.summaries.clone()));
        let active = self
            .active
            .iter()
            .map(|active| (active.number, active.index.summaries()));
        for (of, summary) in later
            .chain(active)
            .flat_map(|(number, summaries)| summaries.into_iter().map(move |summary| (number, summary)))
        {
            let before = held.slot(summary.slot).filter(|_| of == number);
            let first = before.map_or(summary.first, |index| index.summary.end);
            next.entry(summary.slot)
                .and_modify(|next| *next = first.min(*next));
        }
        let next = next.into_iter().collect();
        let base = Base {
            notes,
            next,
            segments,
        };
        Ok((base, held))
    }

    /// Where the records are that stand before the last sync's end, in its segment.
    fn held_at_sync(&self, unreadable: Unreadable) -> io::Result<Index> {
        let Boundary { number, position } = self.disk.boundary;
        if let Some(active) = self.active.as_ref().filter(|active| active.number == number) {
            return Ok(active.index.before(position));
        }
        let closed = self.closed.get(&number);
        let Some(segment) = closed.filter(|segment| position < segment.length) else {
            return Ok(Index::default());
        };
        if let Some(index) = self.disk.indexes.get(&number) {
            return Ok(index.before(position));
        }
        let index = match unreadable {
            Unreadable::Wait => self.files.index(segment)?,
            Unreadable::GiveUp => self.files.index_around(segment)?,
        };
        Ok(index.map_or_else(Index::default, |index| index.before(position)))
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
    pub(super) fn is_void_at_sync(&self, number: u64) -> bool {
        let first_seq = match (&self.active, self.closed.get(&number)) {
            (Some(active), _) if active.number == number => Some(active.first_seq),
            (_, closed) => closed.map(|segment| segment.first_seq),
        };
        first_seq.is_none_or(|first_seq| first_seq >= self.disk.synced)
    }

    /// Takes the new segment for the one that is written.
    fn go_on(&mut self, successor: Successor<S::File>) -> Vec<Lost> {
        let Boundary { number, position } = self.disk.boundary;
        let from = if self.is_void_at_sync(number) {
            number
        } else {
            number + 1
        };
        if self.active.as_ref().is_some_and(|active| active.number >= from)
            && let Some(active) = self.active.take()
        {
            self.remove_void(active.number);
        }
        let voided: Vec<u64> = self.closed.range(from..).map(|(number, _)| *number).collect();
        for number in voided {
            self.remove_closed(number);
            self.remove_void(number);
        }
        self.abandon(number, position, &successor.held);
        if let Some(uncut) = self.uncut.take() {
            // The new head says so; this only gives the room back.
            if self.cut(&uncut).is_err() {
                self.void.extend(uncut.gone);
            }
        }
        self.notes.undo();
        for (seq, name, value) in successor.notes {
            self.notes.change(seq, &name, value.as_ref());
        }
        self.next_seq = successor.expected;
        self.notes.settle(self.next_seq);
        for compacted in self.compacted.values_mut() {
            compacted.forget(&successor.lost);
        }
        self.disk.boundary = Boundary {
            number: successor.active.number,
            position: successor.active.length,
        };
        self.disk.stated = self.disk.synced;
        self.disk.marked = false;
        self.disk.synced = self.next_seq;
        self.disk.dirty.clear();
        self.disk.indexes.clear();
        self.disk.folder_dirty = false;
        self.disk.renamed_synced = self.disk.renamed;
        self.active = Some(successor.active);
        self.leaving = None;
        self.health = Health::Good;
        successor.lost
    }

    /// Removes a segment of which nothing counts.
    pub(super) fn remove_void(&mut self, number: u64) {
        let removed = self.storage.remove(&segment_name(number));
        if removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            self.void.push(number);
        }
    }

    /// Removes what could not be before, for good: what says that nothing in them counts may go next.
    pub(super) fn remove_all_void(&mut self) -> io::Result<()> {
        if self.void.is_empty() {
            return Ok(());
        }
        let uncut = Uncut {
            gone: self.void.clone(),
            torn: None,
        };
        self.cut(&uncut)?;
        self.void.clear();
        Ok(())
    }

    /// The segment in which the last sync ended is closed there, without a footer.
    fn abandon(&mut self, number: u64, position: u64, held: &Index) {
        let (first_seq, cut) = match self.active.take() {
            Some(active) if active.number == number => (active.first_seq, active.cut),
            _ => {
                let closed = self.closed.get(&number);
                let Some(segment) = closed.filter(|segment| position < segment.length) else {
                    return;
                };
                (segment.first_seq, segment.cut)
            }
        };
        self.remove_closed(number);
        self.add_closed(Arc::new(Closed {
            number,
            generation: 0,
            first_seq,
            end_seq: self.disk.synced,
            length: position,
            footer_at: None,
            cut,
            summaries: held.summaries(),
            unindexed: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        }));
    }
}
