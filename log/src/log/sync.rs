//! What is on disk. A ticket names what to sync; it runs outside the lock, and is handed back with what came of it.

use std::io;
use std::sync::Arc;

use super::named::ensure_named;
use super::{Boundary, Health, Log};
use crate::Seq;
use crate::error::AppendError;
use crate::format::entry::{Kind, flag};
use crate::layout::without_slot;
use crate::storage::{Storage, StorageFile};
use crate::sync_end::{SyncEnd, Unreadable};

/// Everything that was written before, to be synced. Must be handed back by [`Log::end_sync`]: there is one at a time.
#[must_use = "until it is handed back there is no other"]
pub struct Ticket<S: Storage> {
    files: Vec<(u64, Arc<S::File>)>,
    storage: Arc<S>,
    folder_dirty: bool,
    next_seq: Seq,
    boundary: Boundary,
    stated: Seq,
    renamed: u64,
}

impl<S: Storage> Ticket<S> {
    /// Waits until all of it is on disk: older files first, then the names, which must still lead to these files.
    pub fn run(&self) -> io::Result<()> {
        for (_, file) in &self.files {
            file.sync()?;
        }
        if self.folder_dirty {
            self.storage.sync_folder()?;
        }
        self.files
            .iter()
            .try_for_each(|(number, file)| ensure_named(&*self.storage, *number, &**file))
    }

    /// The number of the last entry that is on disk when this succeeds.
    pub fn last(&self) -> Seq {
        self.next_seq - 1
    }
}

impl<S: Storage> Log<S> {
    /// Takes all that is to be synced; nothing where all is on disk, where a ticket is out, or while the log is failing.
    pub fn begin_sync(&mut self) -> Option<Ticket<S>> {
        let nothing = self.disk.dirty.is_empty() && !self.disk.folder_dirty;
        if nothing || self.disk.in_flight || self.failing().is_some() {
            return None;
        }
        self.disk.in_flight = true;
        let boundary = match (&self.active, self.disk.dirty.last()) {
            (Some(active), _) => Boundary {
                number: active.number,
                position: active.length,
            },
            (None, Some((number, _))) => Boundary {
                number: *number,
                position: self.closed.get(number).map_or(0, |segment| segment.length),
            },
            (None, None) => self.disk.boundary,
        };
        Some(Ticket {
            files: std::mem::take(&mut self.disk.dirty),
            storage: Arc::clone(&self.storage),
            folder_dirty: std::mem::take(&mut self.disk.folder_dirty),
            next_seq: self.next_seq,
            boundary,
            stated: self.disk.stated,
            renamed: self.disk.renamed,
        })
    }

    /// Takes a ticket back. After a failed sync nothing is assumed: what is not on disk is read back and written again to a
    /// new segment, at once.
    pub fn end_sync(&mut self, ticket: Ticket<S>, result: io::Result<()>, now_ms: i64) -> SyncEnd {
        self.disk.in_flight = false;
        // The system tells an error of writing back once: where another sync of the file was told it meanwhile, this one's
        // success says nothing.
        let result = match self.failing() {
            Some(reason) => result.and(Err(io::Error::other(reason.to_owned()))),
            None => result,
        };
        match result {
            Ok(()) => {
                self.disk.synced = ticket.next_seq;
                self.disk.boundary = ticket.boundary;
                self.disk.indexes = self.disk.indexes.split_off(&ticket.boundary.number);
                self.disk.renamed_synced = ticket.renamed;
                self.disk.proven = self.disk.proven.max(ticket.stated);
                self.notes.settle(ticket.next_seq);
                SyncEnd {
                    synced: self.synced(),
                    lost: Vec::new(),
                    failing: self.failing().map(str::to_owned),
                }
            }
            Err(error) => {
                let mut dirty = ticket.files;
                let later = std::mem::take(&mut self.disk.dirty).into_iter();
                dirty.extend(later.filter(|(number, _)| *number > ticket.boundary.number));
                self.disk.dirty = dirty;
                self.disk.folder_dirty |= ticket.folder_dirty;
                if self.failing().is_none() {
                    self.health = Health::Failing(format!("syncing the log: {error}"));
                }
                self.mend(now_ms, Unreadable::Wait)
            }
        }
    }

    /// Writes an entry that proves that all before is on disk, if nothing on disk says so yet; then sync once more. For quiet
    /// times: what a loss of power may have torn is told from damage by what came after it. Whether it wrote.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn mark(&mut self, now_ms: i64) -> Result<bool, AppendError> {
        let quiet = self.disk.synced == self.next_seq && self.disk.dirty.is_empty() && !self.disk.in_flight;
        if !quiet || self.disk.marked {
            return Ok(false);
        }
        self.write_mark(&[], now_ms)?;
        self.disk.marked = true;
        Ok(true)
    }

    /// Writes a mark; its value names segments that are about to be taken away.
    pub(super) fn write_mark(&mut self, removed: &[u8], now_ms: i64) -> Result<(), AppendError> {
        self.ready(now_ms)?;
        let active = self.active.as_ref().expect("`ready` made one");
        self.buffer.clear();
        let mut layout = active.layout(&mut self.buffer, self.disk.synced, self.next_seq, now_ms);
        layout.put(&without_slot(Kind::Mark, flag::LAST_OF_BATCH, &[], removed));
        let chain = layout.chain;
        self.write_buffer()?;
        let active = self.active.as_mut().expect("it was just written to");
        active.length += self.buffer.len() as u64;
        active.chain = chain;
        self.next_seq += 1;
        Ok(())
    }
}
