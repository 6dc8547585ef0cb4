//! Closed segments that are read from: their files and their indexes, a few of each.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::format::checkpoint::Checkpoint;
use crate::format::entry::Kind;
use crate::format::{checkpoint, footer, header, seed, segment_name};
use crate::index::Index;
use crate::locate::Locator;
use crate::scan::{Item, Scanner};
use crate::segment::Closed;
use crate::storage::{Storage, StorageFile};
use crate::{Seq, Slot};

/// Least recently used first.
type Lru<T> = Mutex<Vec<((u64, u16), Arc<T>)>>;

/// Opens closed segments and remembers the latest.
pub struct Files<S: Storage> {
    storage: Arc<S>,
    salt: u64,
    opened: Lru<S::File>,
    most_opened: usize,
    indexes: Lru<Index>,
    most_indexes: usize,
}

impl<S: Storage> Files<S> {
    pub fn new(storage: Arc<S>, salt: u64, most_files: usize, most_indexes: usize) -> Self {
        Self {
            storage,
            salt,
            opened: Mutex::default(),
            most_opened: most_files.max(1),
            indexes: Mutex::default(),
            most_indexes: most_indexes.max(1),
        }
    }

    /// The file of a closed segment; nothing if it was replaced meanwhile.
    pub fn file(&self, segment: &Closed) -> io::Result<Option<Arc<S::File>>> {
        if let Some(file) = recall(&self.opened, segment) {
            return Ok(Some(file));
        }
        let file = self.storage.open(&segment_name(segment.number));
        // Looked at afterwards: it is said before another file gets the name.
        if segment.is_replaced() {
            return Ok(None);
        }
        let file = file?;
        remember(&self.opened, self.most_opened, segment, Arc::clone(&file));
        Ok(Some(file))
    }

    /// The file of a closed segment that is open still.
    pub fn open_file(&self, segment: &Closed) -> Option<Arc<S::File>> {
        recall(&self.opened, segment)
    }

    /// Where the records of a closed segment are; nothing if it was replaced meanwhile.
    pub fn index(&self, segment: &Closed) -> io::Result<Option<Arc<Index>>> {
        if let Some(index) = recall(&self.indexes, segment) {
            return Ok(Some(index));
        }
        let Some(file) = self.file(segment)? else {
            return Ok(None);
        };
        let index = if let Ok(Some(index)) = self.footer(segment, &*file) {
            index
        } else {
            let scanned = scan_index(&*file, segment, Some(segment.end_seq), self.salt, false)?;
            scanned.locator.index
        };
        let index = Arc::new(index);
        remember(&self.indexes, self.most_indexes, segment, Arc::clone(&index));
        Ok(Some(index))
    }

    /// As [`Files::index`], with what cannot be read taken for lost; not remembered, since it may be readable later.
    pub fn index_around(&self, segment: &Closed) -> io::Result<Option<Arc<Index>>> {
        if let Ok(index) = self.index(segment) {
            return Ok(index);
        }
        let Some(file) = self.file(segment)? else {
            return Ok(None);
        };
        let scanned = scan_index(&*file, segment, Some(segment.end_seq), self.salt, true)?;
        Ok(Some(Arc::new(scanned.locator.index)))
    }

    /// Remembers what is known of a segment that was just closed.
    pub fn closed(&self, segment: &Closed, file: Arc<S::File>, index: Arc<Index>) {
        remember(&self.opened, self.most_opened, segment, file);
        remember(&self.indexes, self.most_indexes, segment, index);
    }

    /// Forgets a segment that was replaced.
    pub fn forget(&self, segment: &Closed) {
        let key = (segment.number, segment.generation);
        self.opened.lock().retain(|(other, _)| *other != key);
        self.indexes.lock().retain(|(other, _)| *other != key);
    }

    fn footer(&self, segment: &Closed, file: &S::File) -> io::Result<Option<Index>> {
        let Some(at) = segment.footer_at else {
            return Ok(None);
        };
        let mut scanner = Scanner::new(file, seed(self.salt, segment.number), at, segment.length);
        if let Some(Item::Entry(found)) = scanner.next()?
            && found.header.kind == Kind::Footer
            && found.is_whole()
            && let Some(contents) = footer::decode_contents(&scanner.meta(&found)?)
            && let Some(index) = Index::decode(&contents.summaries, &scanner.value(&found)?)
        {
            return Ok(Some(index));
        }
        if !segment.unindexed.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                log.segment = segment.number,
                log.position = at,
                "a segment's index is damaged; the segment is read whole instead, until cleaning writes it anew"
            );
        }
        Ok(None)
    }
}

/// What a scan of a segment found.
pub struct Scanned {
    pub locator: Locator,
    /// Its last whole checkpoint before anything is lost: the first one does not know what a failed sync lost before.
    pub checkpoint: Option<Checkpoint>,
}

/// Where the records are in a segment whose footer is missing or damaged; `end` is the number with which the next one begins.
pub fn scan_index<F: StorageFile>(
    file: &F,
    segment: &Closed,
    end: Option<Seq>,
    salt: u64,
    around: bool,
) -> io::Result<Scanned> {
    let mut locator = Locator::new(segment.first_seq, segment.generation > 0);
    let mut scanner = Scanner::new(file, seed(salt, segment.number), header::LENGTH, segment.length);
    if around {
        scanner = scanner.around();
    }
    let mut opening: Option<BTreeMap<Slot, i64>> = None;
    let mut last = None;
    let mut is_lost = false;
    // What stands behind was cut off before the next segment went on.
    let is_over = |seq: Seq| end.is_some_and(|end| seq >= end);
    while let Some(item) = scanner.next()? {
        let entry = match item {
            Item::Lost { .. } if is_over(locator.expected.max(segment.first_seq)) => break,
            Item::Lost { from, .. } => {
                locator.lost(from);
                is_lost = true;
                continue;
            }
            Item::Entry(entry) if is_over(entry.header.seq) => break,
            Item::Entry(entry) => entry,
        };
        locator.entry(&entry, |slot| {
            let said = || Some(opening.as_ref()?.get(&slot).copied().unwrap_or(0));
            segment.summary(slot).map(|summary| summary.first).or_else(said)
        });
        match entry.header.kind {
            Kind::Footer => break,
            Kind::Checkpoint if entry.is_whole() => {
                let checkpoint = checkpoint::decode(&scanner.value(&entry)?);
                let next = |checkpoint: &Checkpoint| checkpoint.next.iter().copied().collect();
                opening = opening.or_else(|| checkpoint.as_ref().map(next));
                last = checkpoint.filter(|_| !is_lost).or(last);
            }
            _ => {}
        }
    }
    locator.end(segment.end_seq, &segment.summaries);
    Ok(Scanned {
        locator,
        checkpoint: last,
    })
}

fn recall<T>(list: &Lru<T>, segment: &Closed) -> Option<Arc<T>> {
    let mut list = list.lock();
    let key = (segment.number, segment.generation);
    let at = list.iter().position(|(other, _)| *other == key)?;
    let found = list.remove(at);
    let value = Arc::clone(&found.1);
    list.push(found);
    Some(value)
}

fn remember<T>(list: &Lru<T>, most: usize, segment: &Closed, value: Arc<T>) {
    let key = (segment.number, segment.generation);
    let mut list = list.lock();
    // Whoever looked at it just before must not keep the room of what was replaced from being given back.
    if segment.is_replaced() {
        return;
    }
    list.retain(|(other, _)| *other != key);
    if list.len() >= most {
        list.remove(0);
    }
    list.push((key, value));
}
