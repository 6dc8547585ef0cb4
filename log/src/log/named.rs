//! Whether the segment that is written still has its name. Where another program removed or renamed it, all that is written
//! and synced is gone with the open file: it is written anew from that file, before anything more is acknowledged. Closed
//! ones are looked at now and then.

use std::io;
use std::sync::Arc;

use super::{Health, Log};
use crate::error::AppendError;
use crate::format::{segment_name, temporary_name};
use crate::io::{read_vec, read_vec_around, write_full};
use crate::storage::{Storage, StorageFile};
use crate::sync_end::Unreadable;

/// Bytes copied at once.
const PART: u64 = 1 << 20;

/// Closed segments looked at in one step.
const MOST_LOOKED_AT: usize = 64;

/// A closed segment whose name is gone.
pub struct Gone<S: Storage> {
    /// Which.
    pub segment: u64,
    length: u64,
    /// Where it was read from lately.
    file: Option<Arc<S::File>>,
    storage: Arc<S>,
}

impl<S: Storage> Gone<S> {
    /// Writes it anew where it is still open; false where it is not, and all that it held is lost unless someone brings it
    /// back. Only whoever cleans may call this: a segment that is let go has no name either.
    ///
    /// # Errors
    /// What the disk said.
    pub fn put_back(&self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        write_anew(
            &*self.storage,
            self.segment,
            &**file,
            self.length,
            Unreadable::Wait,
        )
        .map(|_| true)
    }
}

impl<S: Storage> Log<S> {
    /// Looks whether closed segments behind `after` still have their names, a few at a time: those that have not, and the last
    /// one that was looked at, if there are more.
    pub fn gone(&self, after: u64) -> (Vec<Gone<S>>, Option<u64>) {
        let mut gone = Vec::new();
        let mut behind = self.closed.range(after + 1..);
        let looked_at = behind.by_ref().take(MOST_LOOKED_AT);
        let last = looked_at.map(|(number, segment)| {
            let named = self.storage.id(&segment_name(*number));
            if named.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                gone.push(Gone {
                    segment: *number,
                    length: segment.length,
                    file: self.files.open_file(segment),
                    storage: Arc::clone(&self.storage),
                });
            }
            *number
        });
        let last = last.last();
        (gone, last.filter(|_| behind.next().is_some()))
    }

    /// Looks whether the segment that is written still has its name, as each sync does; for quiet times. Where it does not,
    /// the log is failing, and [`Log::mend`] writes it anew.
    ///
    /// # Errors
    /// That it does not.
    pub fn check_name(&mut self) -> Result<(), AppendError> {
        let Some(active) = self.active.as_ref().filter(|_| self.failing().is_none()) else {
            return Ok(());
        };
        ensure_named(&*self.storage, active.number, &*active.file).map_err(|error| {
            let reason = error.to_string();
            self.health = Health::Failing(reason.clone());
            AppendError::Failing(reason)
        })
    }

    /// Gives the segment in which the last sync ended its name back, where nothing else took it.
    pub(super) fn put_back(&mut self, unreadable: Unreadable) -> io::Result<()> {
        let number = self.disk.boundary.number;
        if self.is_void_at_sync(number) {
            return Ok(());
        }
        let dirty = self.disk.dirty.iter().find(|(dirty, _)| *dirty == number);
        let (file, length) = match (&self.active, dirty, self.closed.get(&number)) {
            (Some(active), ..) if active.number == number => (&active.file, active.length),
            (_, Some((_, file)), Some(closed)) => (file, closed.length),
            // All of it was synced, and had its name then.
            _ => return Ok(()),
        };
        if has_name(&*self.storage, number, &**file)? {
            return Ok(());
        }
        let file = write_anew(&*self.storage, number, &**file, length, unreadable)?;
        tracing::error!(
            log.segment = segment_name(number),
            "another program removed or renamed the segment that is written; it is there again, with all that was acknowledged: \
             find out what touches the folder of the log, since a segment that is closed cannot be written anew"
        );
        for (_, dirty) in self.disk.dirty.iter_mut().filter(|(dirty, _)| *dirty == number) {
            *dirty = Arc::clone(&file);
        }
        if let Some(active) = self.active.as_mut().filter(|active| active.number == number) {
            active.file = file;
        }
        Ok(())
    }
}

/// An error unless the name of a segment leads to `file`.
pub(super) fn ensure_named<S: Storage>(storage: &S, number: u64, file: &S::File) -> io::Result<()> {
    if has_name(storage, number, file)? {
        return Ok(());
    }
    let name = segment_name(number);
    Err(io::Error::other(format!(
        "{name} was removed or renamed by another program while it was written"
    )))
}

/// False where the name leads nowhere.
fn has_name<S: Storage>(storage: &S, number: u64, file: &S::File) -> io::Result<bool> {
    let name = segment_name(number);
    match storage.id(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
        Ok(id) if id == file.id()? => Ok(true),
        Ok(_) => Err(io::Error::other(format!(
            "another file took the place of {name} while it was written: move that away, and the log writes its own anew and goes on"
        ))),
    }
}

fn write_anew<S: Storage>(
    storage: &S,
    number: u64,
    from: &S::File,
    length: u64,
    unreadable: Unreadable,
) -> io::Result<Arc<S::File>> {
    let (temporary, name) = (temporary_name(number), segment_name(number));
    let _ = storage.remove(&temporary);
    let file = storage.create(&temporary)?;
    let written = copy(from, &*file, length, unreadable)
        .and_then(|()| file.sync())
        .and_then(|()| storage.rename(&temporary, &name))
        .and_then(|()| storage.sync_folder());
    if let Err(error) = written {
        // It may have its name already, and would be taken for another one's the next time.
        let _ = storage.remove(&temporary);
        let _ = storage.remove(&name);
        return Err(error);
    }
    Ok(file)
}

fn copy<F: StorageFile>(from: &F, to: &F, length: u64, unreadable: Unreadable) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        let part = PART.min(length - at) as usize;
        let bytes = match unreadable {
            Unreadable::Wait => read_vec(from, at, part)?,
            Unreadable::GiveUp => read_vec_around(from, at, part),
        };
        if bytes.is_empty() {
            break;
        }
        write_full(to, &bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}
