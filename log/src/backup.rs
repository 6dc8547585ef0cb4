//! A copy of a log that may be written to meanwhile, by this process or another: hard links of closed segments, where the
//! target is on the same disk, and the open one up to its last whole batch.

use std::io;
use std::path::Path;

use crate::disk::DiskStorage;
use crate::format::entry::flag;
use crate::format::header::{self, SegmentHeader};
use crate::format::{seed, segment_name, segment_number};
use crate::io::{read_vec, read_vec_around, write_full};
use crate::scan::{Item, Scanner};
use crate::storage::{Storage, StorageFile};

/// How often it begins anew because segments were cleaned meanwhile.
const ATTEMPTS: usize = 20;
/// Bytes copied at once.
const PART: usize = 1 << 20;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Segments.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// A segment as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    number: u64,
    length: u64,
    generation: u16,
}

/// Copies the log in `source` to the folder `target`, which must not hold one. The copy is on disk when this returns. What the
/// disk of `source` does not give back is zeros in it, which [`crate::verify`] finds as it finds any damage.
///
/// # Errors
/// What the disk of `target` said; that it is in use; or that segments were cleaned faster than they could be copied.
pub fn backup(source: &DiskStorage, target: &Path) -> io::Result<Copied> {
    let target = DiskStorage::open(target)?;
    if !segments(&target)?.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "{} already holds a log; choose an empty folder",
                target.folder().display()
            ),
        ));
    }
    let mut copied: Vec<Seen> = Vec::new();
    for _ in 0..ATTEMPTS {
        // What is cleaned later may hold less than what was copied before, and the two do not go together.
        let before = segments(source)?;
        for gone in copied.extract_if(.., |seen| !before.contains(seen)) {
            target.remove(&segment_name(gone.number))?;
        }
        let Some((open, closed)) = before.split_last() else {
            return Ok(Copied::default());
        };
        for seen in closed {
            if copied.contains(seen) {
                continue;
            }
            let name = segment_name(seen.number);
            match link_or_copy(source, &name, &target) {
                Ok(()) => copied.push(*seen),
                // It was cleaned meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
            }
        }
        let length = copy_open(source, *open, &target)?;
        let after = segments(source)?;
        let stable = closed
            .iter()
            .all(|seen| copied.contains(seen) && after.contains(seen));
        let still = after
            .iter()
            .any(|seen| (seen.number, seen.generation) == (open.number, open.generation));
        if let Some(length) = length.filter(|_| stable && still) {
            target.sync_folder()?;
            return Ok(Copied {
                segments: before.len(),
                bytes: length + closed.iter().map(|seen| seen.length).sum::<u64>(),
            });
        }
    }
    Err(io::Error::other(
        "segments of the log were cleaned faster than they could be copied; try again",
    ))
}

/// The segments of a folder, oldest first.
fn segments(folder: &DiskStorage) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for (name, length) in folder.list()? {
        let Some(number) = segment_number(&name) else {
            continue;
        };
        let head = match folder.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => read_vec_around(&*other?, 0, header::LENGTH as usize),
        };
        seen.push(Seen {
            number,
            length,
            generation: SegmentHeader::decode(&head).map_or(0, |head| head.generation),
        });
    }
    seen.sort_unstable_by_key(|seen| seen.number);
    Ok(seen)
}

/// Gives a segment that never changes a second name, or copies it where that is on another disk.
fn link_or_copy(source: &DiskStorage, name: &str, target: &DiskStorage) -> io::Result<()> {
    if source.link(name, target).is_err() {
        copy(source, name, target)?;
    }
    target.open(name)?.sync()
}

fn copy(source: &DiskStorage, name: &str, target: &DiskStorage) -> io::Result<()> {
    let from = source.open(name)?;
    let length = from.len()?;
    // From an attempt before.
    let _ = target.remove(name);
    let to = target.create(name)?;
    let mut at = 0;
    while at < length {
        let bytes = read_vec_around(&*from, at, PART.min((length - at) as usize));
        if bytes.is_empty() {
            break;
        }
        write_full(&*to, &bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

/// Copies the segment that is written, up to its last whole batch; nothing if it is gone.
fn copy_open(source: &DiskStorage, open: Seen, target: &DiskStorage) -> io::Result<Option<u64>> {
    let name = segment_name(open.number);
    if let Err(error) = copy(source, &name, target) {
        return if error.kind() == io::ErrorKind::NotFound {
            Ok(None)
        } else {
            Err(error)
        };
    }
    let file = target.open(&name)?;
    let length = file.len()?;
    let end = whole_batches(&*file, open.number, length)?;
    if end < length {
        file.set_len(end)?;
    }
    file.sync()?;
    Ok(Some(end))
}

/// Where the last whole batch ends; damage before it stays as it is.
fn whole_batches<F: StorageFile>(file: &F, number: u64, length: u64) -> io::Result<u64> {
    let Ok(head) = SegmentHeader::decode(&read_vec(file, 0, header::LENGTH as usize)?) else {
        return Ok(length);
    };
    let mut end = header::LENGTH;
    let mut scanner = Scanner::new(file, seed(head.salt, number), header::LENGTH, length);
    while let Some(item) = scanner.next()? {
        match item {
            // Behind the last entry of a closed one: it was closed meanwhile.
            Item::Entry(entry) if entry.header.kind == crate::format::entry::Kind::Footer => {
                return Ok(length);
            }
            Item::Entry(entry) if entry.is_whole() && entry.header.has(flag::LAST_OF_BATCH) => {
                end = entry.end();
            }
            Item::Entry(_) | Item::Lost { .. } => {}
        }
    }
    Ok(end.min(length))
}
