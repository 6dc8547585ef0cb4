//! What was appended is there, now and after it was opened again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bytes::Bytes;
use relay_log::{Batch, Options};
use support::{NOW, Place, append, batch, note, record, sync, values};

fn small() -> Options {
    Options {
        segment_size: 4096,
        ..Options::default()
    }
}

#[test]
fn records_and_notes_are_read_back_across_segments_and_openings() {
    let place = Place::new();
    let mut written = Vec::new();
    for round in 0..3_i64 {
        let (mut log, opened) = place.try_open(&small()).unwrap();
        assert_eq!(opened.fresh, round == 0);
        assert_eq!((opened.cut, opened.damaged.len()), (None, 0));
        for number in 0..50 {
            let value = format!("{round} {number} {}", "x".repeat(300));
            let offset = round * 50 + number;
            let changed = note("position", &offset.to_string());
            let batches = [
                batch(vec![record(1, value.clone()), record(2, "other")]),
                Batch {
                    records: vec![],
                    notes: vec![changed],
                },
            ];
            assert_eq!(log.append(&batches, NOW).unwrap(), [vec![offset, offset], vec![]]);
            written.push((offset, Some(value)));
            if number % 10 == 9 {
                sync(&mut log);
            }
        }
        assert_eq!(values(&log, 1), written);
        sync(&mut log);
    }
    let (log, opened) = place.try_open(&small()).unwrap();
    assert!(opened.cut.is_none() && opened.damaged.is_empty());
    assert!(place.segments().len() > 10);
    assert_eq!(values(&log, 1), written);
    assert_eq!(values(&log, 2).len(), 150);
    assert_eq!(log.notes()[&Bytes::from_static(b"position")], "149");
    assert_eq!((log.range(1), log.range(7)), (0..150, 0..0));
}

#[test]
fn offsets_and_notes_go_on_where_nothing_but_the_checkpoint_says_so() {
    let place = Place::new();
    {
        let (mut log, _) = place.open();
        append(&mut log, vec![record(3, "a"), record(3, "b")]);
        log.append(
            &[Batch {
                records: vec![],
                notes: vec![note("a", "1"), note("b", "2"), (Bytes::from_static(b"a"), None)],
            }],
            NOW,
        )
        .unwrap();
        log.roll(NOW).unwrap();
        sync(&mut log);
    }
    let (mut log, _) = place.open();
    assert_eq!(log.notes().keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(append(&mut log, vec![record(3, "c")]), [2]);
}

#[test]
fn a_second_opener_is_told_who_has_the_log() {
    let place = Place::new();
    let _log = place.open();
    let error = relay_log::DiskStorage::open(place.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}

#[test]
fn the_folder_of_an_older_log_is_refused_with_one_line() {
    for name in ["7.jnl", "keyspaces"] {
        let place = Place::new();
        std::fs::write(place.path().join(name), b"old").unwrap();
        let error = place.try_open(&small()).err().unwrap().to_string();
        assert!(error.contains(name) && error.contains("older format"), "{error}");
        assert_eq!(error.lines().count(), 1);
        assert_eq!(place.segments().len(), 0);
    }
}

#[test]
fn what_is_written_is_on_disk_only_after_its_ticket() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "a")]);
    let first = log.last();
    let ticket = log.begin_sync().unwrap();
    append(&mut log, vec![record(1, "b")]);
    assert!(log.begin_sync().is_none(), "one ticket at a time");
    assert!(log.synced() < first);
    let result = ticket.run();
    assert_eq!(log.end_sync(ticket, result, NOW).synced, first);
    assert!(log.synced() < log.last());
    sync(&mut log);
    assert!(log.begin_sync().is_none(), "nothing is left to sync");
}

#[test]
fn opening_reads_heads_and_footers_and_the_tail_however_long_the_log_is() {
    let place = Place::new();
    let each_its_own = Options {
        segment_size: 1,
        ..Options::default()
    };
    {
        let (mut log, _) = place.try_open(&each_its_own).unwrap();
        for number in 0..320 {
            let records = (0..20).map(|slot| record(slot, format!("{number} {}", "x".repeat(500))));
            append(&mut log, records.collect());
            sync(&mut log);
        }
        log.mark(NOW).unwrap();
        sync(&mut log);
    }
    let (log, opened) = place.open();
    assert!(place.segments().len() >= 320);
    assert!(
        opened.scanned * 100 < log.size(),
        "{} of {}",
        opened.scanned,
        log.size()
    );
    assert_eq!((log.range(7), values(&log, 7).len()), (0..320, 320));
}
