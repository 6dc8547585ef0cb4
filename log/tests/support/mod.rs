//! What the tests share.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use relay_log::storage::Storage;
use relay_log::{Batch, DiskStorage, Found, Log, NewRecord, OpenError, Opened, Options, Slot};
use tempfile::TempDir;

pub const NOW: i64 = 1_760_000_000_000;

pub type DiskLog = Log<DiskStorage>;

/// A folder with a log in it.
pub struct Place(pub TempDir);

impl Place {
    pub fn new() -> Self {
        // Where there is memory to write to, syncing costs nothing.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        Self(folder.unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn try_open(&self, options: &Options) -> Result<(DiskLog, Opened), OpenError> {
        let storage = Arc::new(DiskStorage::open(self.path()).unwrap());
        Log::open(storage, options.clone(), 0x5eed, NOW)
    }

    pub fn open(&self) -> (DiskLog, Opened) {
        self.try_open(&Options::default()).unwrap()
    }

    /// The files of segments, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        files.sort();
        files
    }

    /// The same files in another folder, as a crash would leave them.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        for file in self.segments() {
            fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        copy
    }
}

pub fn record(slot: Slot, value: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        slot,
        meta: Bytes::from_static(b"meta"),
        value: value.into(),
        ..NewRecord::default()
    }
}

pub fn keyed(slot: Slot, key: &str, value: Option<&str>) -> NewRecord {
    NewRecord {
        slot,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        meta: Bytes::new(),
        value: Bytes::copy_from_slice(value.unwrap_or_default().as_bytes()),
        tombstone: value.is_none(),
    }
}

pub fn batch(records: Vec<NewRecord>) -> Batch {
    Batch {
        records,
        notes: Vec::new(),
    }
}

pub fn note(name: &str, value: &str) -> (Bytes, Option<Bytes>) {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    (bytes(name), Some(bytes(value)))
}

pub fn sync(log: &mut DiskLog) {
    if let Some(ticket) = log.begin_sync() {
        let result = ticket.run();
        let end = log.end_sync(ticket, result, NOW);
        assert_eq!((end.failing, end.lost), (None, Vec::new()));
    }
    assert_eq!(log.synced(), log.last());
}

pub fn append<S: Storage>(log: &mut Log<S>, records: Vec<NewRecord>) -> Vec<i64> {
    log.append(&[batch(records)], NOW).unwrap().remove(0)
}

/// Everything of a slot.
pub fn read_all<S: Storage>(log: &Log<S>, slot: Slot) -> Vec<Found> {
    let range = log.range(slot);
    let mut from = range.start;
    let mut all = Vec::new();
    while from < range.end {
        let read = log.plan_read(slot, from..range.end, 100, 1 << 20).run().unwrap();
        assert!(read.next > from, "reading {slot} goes on at {from}");
        all.extend(read.found);
        from = read.next;
    }
    all
}

/// Offsets and values of a slot; a damaged one has none.
pub fn values<S: Storage>(log: &Log<S>, slot: Slot) -> Vec<(i64, Option<String>)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    read_all(log, slot)
        .iter()
        .map(|found| match found {
            Found::Record(record) => (record.offset, Some(text(&record.value))),
            Found::Damaged(damaged) => (damaged.offset, None),
        })
        .collect()
}
