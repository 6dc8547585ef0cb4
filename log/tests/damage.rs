//! A bit that flips anywhere is noticed, costs that record alone, and never what follows it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use relay_log::{Found, Options};
use support::{NOW, Place, append, note, read_all, record, sync, values};

fn flip(path: &Path, byte: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut one = [0];
    file.read_exact_at(&mut one, byte).unwrap();
    file.write_all_at(&[one[0] ^ 0x10], byte).unwrap();
}

/// Ten records of two slots, all on disk and proven to be. Each is 80 bytes of head, 4 of meta and 8 of value.
fn ten(roll: bool) -> Place {
    let place = Place::new();
    let (mut log, _) = place.open();
    for number in 0..10 {
        append(&mut log, vec![record(number % 2, format!("value {number:2}"))]);
        sync(&mut log);
    }
    if roll {
        log.roll(NOW).unwrap();
        append(&mut log, vec![record(0, "behind")]);
        sync(&mut log);
    }
    assert!(log.mark(NOW).unwrap());
    sync(&mut log);
    place
}

fn check(copy: &Place, wrong: (u32, i64), what: &str) {
    for opening in 0..2 {
        let (mut log, opened) = copy.open();
        assert_eq!(opened.cut, None, "{what}");
        for slot in 0..2 {
            let values = values(&log, slot);
            assert!(values.len() >= 5, "{what}: {values:?}");
            for (offset, value) in &values {
                let damaged = wrong == (slot, *offset);
                assert_eq!(value.is_none(), damaged, "{what}: slot {slot} {values:?}");
                if *offset < 5 && !damaged {
                    assert_eq!(
                        value.as_deref(),
                        Some(&*format!("value {:2}", offset * 2 + i64::from(slot)))
                    );
                }
            }
            let next = log.range(slot).end;
            assert_eq!(append(&mut log, vec![record(slot, "later")]), [next], "{what}");
            assert!(next >= 5 + opening, "{what}");
        }
        sync(&mut log);
    }
}

#[test]
fn a_flip_in_any_byte_of_a_record_damages_that_record_alone() {
    for roll in [false, true] {
        let place = ten(roll);
        let bytes = fs::read(&place.segments()[0]).unwrap();
        // The records from number 3 to 6.
        let first = bytes.windows(8).position(|part| part == b"value  3").unwrap() as u64 - 84;
        for byte in first..first + 4 * 92 {
            let copy = place.copy();
            flip(&copy.segments()[0], byte);
            let number = 3 + (byte - first) / 92;
            let what = format!("byte {} of record {number}, closed: {roll}", (byte - first) % 92);
            check(&copy, ((number % 2) as u32, (number / 2) as i64), &what);
        }
    }
}

#[test]
fn two_damaged_neighbours_leave_what_follows_readable() {
    let place = ten(false);
    let bytes = fs::read(&place.segments()[0]).unwrap();
    let first = bytes.windows(8).position(|part| part == b"value  3").unwrap() as u64 - 84;
    flip(&place.segments()[0], first + 10);
    flip(&place.segments()[0], first + 92 + 10);
    let (log, opened) = place.open();
    assert_eq!(opened.cut, None);
    let missing: Vec<_> = (0..2)
        .flat_map(|slot| {
            values(&log, slot)
                .into_iter()
                .map(move |(offset, value)| (slot, offset, value))
        })
        .filter(|(.., value)| value.is_none())
        .map(|(slot, offset, _)| (slot, offset))
        .collect();
    assert_eq!(missing, [(0, 2), (1, 1)]);
}

#[test]
fn the_meta_of_a_record_whose_value_is_damaged_is_given_back() {
    let place = ten(false);
    let bytes = fs::read(&place.segments()[0]).unwrap();
    let at = bytes.windows(8).position(|part| part == b"value  4").unwrap() as u64;
    flip(&place.segments()[0], at);
    let (log, opened) = place.open();
    let Found::Damaged(damaged) = &read_all(&log, 0)[2] else {
        panic!("it is damaged");
    };
    assert_eq!(damaged.meta, Some((None, Bytes::from_static(b"meta"))));
    assert_eq!((damaged.segment, damaged.position), (1, at - 84));
    assert_eq!(damaged.raw.len(), 92);
    assert_eq!(opened.damaged.len(), 1);
    assert_eq!(
        (opened.damaged[0].slot, opened.damaged[0].offset),
        (Some(0), Some(2))
    );
}

#[test]
fn a_flip_in_any_byte_of_heads_checkpoints_and_footers_costs_no_record_and_no_note() {
    let place = Place::new();
    let options = Options::default();
    {
        let (mut log, _) = place.open();
        for segment in 0..3 {
            let kept = relay_log::Batch {
                records: vec![record(1, format!("value {segment}"))],
                notes: vec![note("segment", &segment.to_string())],
            };
            log.append(&[kept], NOW).unwrap();
            sync(&mut log);
            if segment < 2 {
                log.roll(NOW).unwrap();
                sync(&mut log);
            }
        }
        log.mark(NOW).unwrap();
        sync(&mut log);
    }
    for (number, path) in place.segments().iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        let record = bytes.windows(4).position(|part| part == b"meta").unwrap() - 80;
        for byte in 0..bytes.len() {
            // The record, and the note behind it: one damaged alone, the other a change that is lost until the next checkpoint.
            if (record..record + 80 + 11 + 80 + 8).contains(&byte) {
                continue;
            }
            let copy = place.copy();
            flip(&copy.segments()[number], byte as u64);
            let (log, opened) = copy.try_open(&options).unwrap();
            let values = values(&log, 1);
            let what = format!("byte {byte} of segment {number} of {} bytes", bytes.len());
            assert_eq!(values.len(), 3, "{what}: {values:?} {opened:?}");
            assert!(
                values.iter().all(|(_, value)| value.is_some()),
                "{what}: {values:?}"
            );
            let note = log.notes().get(&Bytes::from_static(b"segment")).cloned();
            assert_eq!(note, Some(Bytes::from_static(b"2")), "{what}");
        }
    }
}
