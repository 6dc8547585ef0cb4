//! What the disk does not give back for a while is not lost, and what is not known is not taken away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_log::simulated::{Aftermath, Call, Fault, Mischief, SimulatedDisk, SimulatedFile};
use relay_log::storage::{FileId, Space, Storage, StorageFile};
use relay_log::{Damaged, Found, Log, OpenError, Options};
use support::{NOW, append, keyed, read_all, record, values};

const LAG: i64 = 1000;

/// A disk of which one place, in one of its files, cannot be read.
#[derive(Clone)]
struct Spotted {
    disk: SimulatedDisk,
    spot: Arc<Mutex<(String, Range<u64>)>>,
}

struct SpottedFile {
    file: Arc<SimulatedFile>,
    name: String,
    spot: Arc<Mutex<(String, Range<u64>)>>,
}

impl Spotted {
    fn new() -> Self {
        let (disk, spot) = (SimulatedDisk::new(0, 4096), Arc::default());
        Self { disk, spot }
    }

    fn spoil(&self, segment: u64, bytes: Range<u64>) {
        *self.spot.lock() = (name(segment), bytes);
    }

    fn heal(&self) {
        *self.spot.lock() = Default::default();
    }

    /// Where the bytes first are in segment 1.
    fn find(&self, bytes: &[u8]) -> u64 {
        let contents = self.disk.contents(&name(1)).unwrap();
        let at = contents.windows(bytes.len()).position(|part| part == bytes);
        at.unwrap() as u64
    }

    /// Where the head of record 37 is; its meta are 4 bytes.
    fn head_of_37(&self) -> u64 {
        self.find(value(37).as_bytes()) - 84
    }

    fn open(&self) -> Result<Log<Self>, OpenError> {
        let options = Options {
            segment_size: 200_000,
            dead_records: 1,
            ..Options::default()
        };
        Ok(Log::open(Arc::new(self.clone()), options, 0x5eed, NOW)?.0)
    }

    fn fail_a_sync(&self, seed: u64, aftermath: Aftermath) {
        self.disk.reseed(seed);
        self.disk.fail(Fault {
            call: Call::Sync,
            after: 0,
            times: 1,
            mischief: Mischief::Io,
            aftermath,
        });
    }

    fn file(&self, name: &str, file: Arc<SimulatedFile>) -> Arc<SpottedFile> {
        let (name, spot) = (name.to_owned(), Arc::clone(&self.spot));
        Arc::new(SpottedFile { file, name, spot })
    }
}

/// What goes to the disk beneath as it is.
macro_rules! as_is {
    ($to:ident: $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> io::Result<$result> {
            self.$to.$name($($argument),*)
        })*
    };
}

impl Storage for Spotted {
    type File = SpottedFile;

    fn create(&self, name: &str) -> io::Result<Arc<SpottedFile>> {
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<SpottedFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }

    as_is! { disk:
        list() -> Vec<(String, u64)>; rename(from: &str, to: &str) -> (); remove(name: &str) -> ();
        sync_folder() -> (); id(name: &str) -> FileId; free() -> Space;
    }
}

impl StorageFile for SpottedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let (name, spot) = &*self.spot.lock();
        if *name == self.name && position < spot.end && position + buffer.len() as u64 > spot.start {
            return Err(io::Error::other("EIO"));
        }
        self.file.read_at(buffer, position)
    }

    as_is! { file:
        write_at(bytes: &[u8], position: u64) -> usize; sync() -> (); set_len(length: u64) -> ();
        id() -> FileId; len() -> u64;
    }
}

fn name(segment: u64) -> String {
    format!("{segment:020}.seg")
}

/// Whether nothing was lost, and the log goes on.
fn sync(log: &mut Log<Spotted>) -> bool {
    let mut good = true;
    while let Some(ticket) = log.begin_sync() {
        let result = ticket.run();
        let end = log.end_sync(ticket, result, NOW);
        good &= end.failing.is_none() && end.lost.is_empty();
    }
    good
}

/// Everything is on disk, and proven to be.
fn settle(log: &mut Log<Spotted>) {
    sync(log);
    log.mark(NOW).unwrap();
    sync(log);
}

/// More segments than the newest, which are never cleaned.
fn fill(log: &mut Log<Spotted>) {
    for _ in 0..6 {
        append(log, vec![record(99, "filler")]);
        log.roll(NOW).unwrap();
    }
    settle(log);
}

/// Cleans until nothing is left to do; how many steps it took.
fn clean(log: &mut Log<Spotted>) -> usize {
    let now = NOW + 2 * LAG;
    for steps in 0..100 {
        let Some(plan) = log.plan_clean(now, LAG) else {
            return steps;
        };
        log.end_clean(plan.run(), now).unwrap();
        sync(log);
    }
    panic!("cleaning does not come to an end");
}

/// The offsets of slot 1 whose records are as they were written.
fn whole(log: &Log<Spotted>) -> Vec<i64> {
    let found = values(log, 1).into_iter();
    let whole = found.filter(|(offset, found)| *found == Some(value(*offset)));
    whole.map(|(offset, _)| offset).collect()
}

/// What is left of record 37, which is damaged.
fn damaged_37(log: &Log<Spotted>) -> Damaged {
    let is_37 = |found| match found {
        Found::Damaged(damaged) if damaged.offset == 37 => Some(damaged),
        _ => None,
    };
    read_all(log, 1).into_iter().find_map(is_37).unwrap()
}

/// 3000 bytes.
fn value(offset: i64) -> String {
    format!("{offset:06}").repeat(500)
}

/// Forty records of slot 1 in the segment that is written to, all on disk and proven to be.
fn forty() -> Spotted {
    let disk = Spotted::new();
    let mut log = disk.open().unwrap();
    for offset in 0..40 {
        append(&mut log, vec![record(1, value(offset))]);
        sync(&mut log);
    }
    settle(&mut log);
    disk
}

/// Closes the segment, and has it cleaned of what is before record 25.
fn clean_up_to_25(log: &mut Log<Spotted>) {
    log.roll(NOW).unwrap();
    fill(log);
    log.set_low(1, 25);
    append(log, vec![record(98, "what made it right")]);
    settle(log);
    assert!(clean(log) > 0);
}

#[test]
fn a_page_that_is_unreadable_while_the_log_opens_costs_the_next_process_no_record() {
    let disk = forty();
    let page = disk.find(value(30).as_bytes()) / 4096 * 4096;
    disk.spoil(1, page..page + 4096);
    let mut log = disk.open().unwrap();
    disk.heal();
    log.roll(NOW).unwrap();
    settle(&mut log);
    drop(log);
    let mut log = disk.open().unwrap();
    assert_eq!(whole(&log), (0..40).collect::<Vec<_>>());
    clean_up_to_25(&mut log);
    assert_eq!(whole(&log), (25..40).collect::<Vec<_>>());
}

#[test]
fn a_tombstone_stays_where_an_older_record_of_its_key_could_not_be_read() {
    let disk = Spotted::new();
    let mut log = disk.open().unwrap();
    for value in [Some("A"), Some("B"), None] {
        append(&mut log, vec![record(99, "x"), keyed(7, "key-of-a", value)]);
        append(&mut log, vec![record(99, "y".repeat(2000))]);
        log.roll(NOW).unwrap();
    }
    append(&mut log, vec![keyed(7, "z", Some("last"))]);
    fill(&mut log);
    drop(log);
    let mut log = disk.open().unwrap();
    log.set_compacted(7);
    let at = disk.find(b"key-of-a");
    disk.spoil(1, at - 80..at + 9);
    let learned = log.plan_clean(NOW, LAG).expect("keys are learned").run();
    disk.heal();
    log.end_clean(learned, NOW).unwrap();
    clean(&mut log);
    drop(log);
    let left = values(&disk.open().unwrap(), 7);
    assert!(left.contains(&(2, Some(String::new()))), "{left:?}");
}

#[test]
fn cleaning_keeps_a_record_whose_head_lost_a_bit_byte_for_byte() {
    let disk = forty();
    assert!(disk.disk.flip(&name(1), disk.head_of_37() + 17, 3));
    let mut log = disk.open().unwrap();
    let before = damaged_37(&log);
    assert_eq!(before.raw.len(), 80 + 4 + 3000);
    clean_up_to_25(&mut log);
    let after = damaged_37(&log);
    assert_eq!(after.meta, Some((None, "meta".into())));
    assert!(after.value.is_some_and(|left| left == value(37)));
    assert!(after.raw == before.raw, "byte for byte");
}

#[test]
fn a_damaged_head_that_cannot_be_read_for_a_while_is_an_error_of_that_read() {
    let disk = forty();
    let at = disk.head_of_37();
    assert!(disk.disk.flip(&name(1), at + 17, 3));
    let log = disk.open().unwrap();
    disk.spoil(1, at..at + 1);
    assert!(log.plan_read(1, 37..38, 1, 1).run().is_err());
    let read = log.plan_read(1, 36..38, 2, 1 << 20).run().unwrap();
    assert_eq!((read.found.len(), read.next), (1, 37), "what can be read is");
    disk.heal();
    assert!(damaged_37(&log).value.is_some_and(|left| left == value(37)));
}

#[test]
fn a_head_that_cannot_be_read_since_the_log_opened_is_no_damage_and_is_read_once_it_can_be() {
    let disk = forty();
    let at = disk.head_of_37();
    disk.spoil(1, at..at + 1);
    let log = disk.open().unwrap();
    assert!(log.plan_read(1, 37..38, 1, 1).run().is_err());
    disk.heal();
    assert_eq!(whole(&log), (0..40).collect::<Vec<_>>());
}

/// Such a head says where the segment before it ends: what stands behind that was given up.
#[test]
fn a_log_in_which_a_head_that_ends_an_earlier_segment_is_unreadable_opens_whole_or_not_at_all() {
    for seed in 0..50 {
        let disk = Spotted::new();
        let mut log = disk.open().unwrap();
        for offset in 0..5 {
            append(&mut log, vec![record(1, value(offset))]);
            sync(&mut log);
        }
        let ten = (5..15).map(|offset| record(1, value(offset)));
        append(&mut log, ten.collect());
        disk.fail_a_sync(seed, Aftermath::MarkedClean);
        assert!(sync(&mut log), "seed {seed}");
        append(&mut log, vec![record(1, value(15))]);
        fill(&mut log);
        drop(log);
        disk.disk.cut_power();
        let all: Vec<_> = (0..16).collect();
        assert_eq!(whole(&disk.open().unwrap()), all, "seed {seed}");
        disk.spoil(2, 0..128);
        match disk.open() {
            Ok(log) => assert_eq!(whole(&log), all, "seed {seed}"),
            Err(error) => assert!(matches!(error, OpenError::Unreadable(_)), "seed {seed}: {error}"),
        }
        disk.heal();
        assert_eq!(whole(&disk.open().unwrap()), all, "seed {seed}");
    }
}

#[test]
fn keys_of_records_that_a_failed_sync_takes_away_supersede_nothing() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = Spotted::new();
        let mut log = disk.open().unwrap();
        append(&mut log, vec![record(99, "x"), keyed(7, "a", Some("old"))]);
        log.roll(NOW).unwrap();
        fill(&mut log);
        append(&mut log, vec![keyed(7, "z", Some(&"z".repeat(20_000)))]);
        append(&mut log, vec![keyed(7, "a", Some("new"))]);
        append(&mut log, vec![record(97, "x".repeat(9000))]);
        append(&mut log, vec![record(97, "y")]);
        log.set_compacted(7);
        if let Some(plan) = log.plan_clean(NOW, LAG) {
            log.end_clean(plan.run(), NOW).unwrap();
        }
        disk.fail_a_sync(seed, Aftermath::Dropped);
        sync(&mut log);
        fill(&mut log);
        clean(&mut log);
        let left = values(&log, 7);
        let is = |value: &str| left.iter().any(|(_, left)| left.as_deref() == Some(value));
        assert!(is("old") || is("new"), "seed {seed}");
        lost += usize::from(!is("new"));
    }
    assert!(lost > 0, "no sync took the newer one away");
}
