//! What a crash leaves at the end is cut off; what was on disk before stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use relay_log::{Batch, Options};
use support::{NOW, Place, append, note, record, sync, values};

/// A log whose last batch, of three records and a note, is not on disk yet; and the length without that.
fn with_an_unsynced_batch() -> (Place, u64) {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "a"), record(2, "b")]);
    sync(&mut log);
    append(&mut log, vec![record(1, "c")]);
    sync(&mut log);
    let before = fs::metadata(&place.segments()[0]).unwrap().len();
    let torn = Batch {
        records: vec![record(1, "d"), record(2, "e"), record(1, "f")],
        notes: vec![note("committed", "4")],
    };
    log.append(&[torn], NOW).unwrap();
    (place, before)
}

fn check_cut(copy: &Place, before: u64, length: u64, what: &str) {
    let (mut log, opened) = copy.open();
    let values = values(&log, 1);
    let expected = [(0, Some("a".to_owned())), (1, Some("c".to_owned()))];
    assert_eq!(values, expected, "{what}");
    assert_eq!(opened.damaged, [], "{what}");
    let cut = opened.cut.map(|cut| (cut.at, cut.bytes));
    assert_eq!(
        cut,
        (length > before).then(|| (before, length - before)),
        "{what}"
    );
    assert_eq!(log.notes().get(&Bytes::from_static(b"committed")), None, "{what}");
    assert_eq!(append(&mut log, vec![record(1, "new")]), [2], "{what}");
    sync(&mut log);
    drop(log);
    let (log, opened) = copy.open();
    assert_eq!(opened.cut, None, "{what}");
    assert_eq!(support::values(&log, 1)[2], (2, Some("new".to_owned())), "{what}");
}

#[test]
fn the_last_batch_cut_at_every_byte_is_there_whole_or_not_at_all() {
    let (place, before) = with_an_unsynced_batch();
    let full = fs::metadata(&place.segments()[0]).unwrap().len();
    for length in before..full {
        let copy = place.copy();
        let file = OpenOptions::new().write(true).open(&copy.segments()[0]).unwrap();
        file.set_len(length).unwrap();
        check_cut(&copy, before, length, &format!("cut at {length} of {full}"));
    }
    let copy = place.copy();
    let (log, opened) = copy.open();
    assert_eq!((opened.cut, values(&log, 1).len()), (None, 4));
}

#[test]
fn a_bit_flipped_anywhere_in_the_last_batch_cuts_it_off() {
    let (place, before) = with_an_unsynced_batch();
    let full = fs::metadata(&place.segments()[0]).unwrap().len();
    for byte in before..full {
        let copy = place.copy();
        flip(&copy.segments()[0], byte);
        check_cut(
            &copy,
            before,
            full,
            &format!("flipped at {byte} of {before}..{full}"),
        );
    }
}

#[test]
fn zeroed_pages_of_what_was_not_acknowledged_are_cut_off() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "a")]);
    sync(&mut log);
    append(&mut log, vec![record(1, "b")]);
    sync(&mut log);
    for _ in 0..5 {
        append(&mut log, vec![record(1, vec![b'x'; 4096]), record(2, "y")]);
    }
    drop(log);
    let full = fs::metadata(&place.segments()[0]).unwrap().len();
    for page in 1..full / 4096 {
        let copy = place.copy();
        let file = OpenOptions::new().write(true).open(&copy.segments()[0]).unwrap();
        file.write_all_at(&[0; 4096], page * 4096).unwrap();
        let (log, opened) = copy.open();
        assert!(opened.cut.is_some() && opened.damaged.is_empty(), "page {page}");
        let values = values(&log, 1);
        assert!(
            values.len() >= 2 && values.iter().all(|(_, value)| value.is_some()),
            "page {page}"
        );
    }
}

#[test]
fn a_segment_of_which_only_the_name_reached_the_disk_is_removed() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "a")]);
    sync(&mut log);
    drop(log);
    for (number, content) in [(2, vec![]), (2, vec![0; 4096]), (2, vec![0; 100])] {
        let copy = place.copy();
        let path = copy.path().join(format!("{number:020}.seg"));
        fs::write(&path, &content).unwrap();
        let (mut log, _) = copy.open();
        assert!(!path.exists());
        assert_eq!(append(&mut log, vec![record(1, "b")]), [1]);
        assert_eq!(values(&log, 1).len(), 2);
    }
    let fresh = Place::new();
    fs::write(fresh.path().join(format!("{:020}.seg", 1)), b"RELAYLOG").unwrap();
    let (_, opened) = fresh.open();
    assert!(opened.fresh);
}

#[test]
fn a_torn_closing_is_cut_off_and_the_segment_is_written_on() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "a")]);
    sync(&mut log);
    append(&mut log, vec![record(1, "b")]);
    sync(&mut log);
    let before = fs::metadata(&place.segments()[0]).unwrap().len();
    log.roll(NOW).unwrap();
    append(&mut log, vec![record(1, "c")]);
    drop(log);
    let full = fs::metadata(&place.segments()[0]).unwrap().len();
    for length in before..full {
        let copy = place.copy();
        let file = OpenOptions::new().write(true).open(&copy.segments()[0]).unwrap();
        file.set_len(length).unwrap();
        let (mut log, opened) = copy.open();
        assert_eq!(values(&log, 1).len(), 2, "cut at {length} of {before}..{full}");
        let at = opened.cut.map(|cut| (cut.segment, cut.at));
        assert_eq!(
            at,
            Some(if length > before { (1, before) } else { (2, 0) }),
            "cut at {length}"
        );
        assert_eq!(append(&mut log, vec![record(1, "new")]), [2]);
        sync(&mut log);
        drop(log);
        let (log, opened) = copy.open();
        assert_eq!((values(&log, 1).len(), opened.cut), (3, None), "cut at {length}");
    }
}

#[test]
fn leftovers_of_a_cleaning_are_removed() {
    let place = Place::new();
    let path = place.path().join("00000000000000000001.tmp");
    fs::write(&path, b"half").unwrap();
    let (_, opened) = place.try_open(&Options::default()).unwrap();
    assert!(opened.fresh && !path.exists());
}

fn flip(path: &std::path::Path, byte: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut one = [0];
    file.read_exact_at(&mut one, byte).unwrap();
    file.write_all_at(&[one[0] ^ 0x10], byte).unwrap();
}
