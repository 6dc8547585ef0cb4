//! Verifying names what is damaged; a backup is a log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use relay_log::{DiskStorage, Options, backup, verify};
use support::{NOW, Place, append, note, record, sync, values};

fn options() -> Options {
    Options {
        segment_size: 1024,
        ..Options::default()
    }
}

fn filled() -> Place {
    let place = Place::new();
    let (mut log, _) = place.try_open(&options()).unwrap();
    for number in 0..40 {
        let batch = relay_log::Batch {
            records: vec![record(number % 2, format!("value {number:2}"))],
            notes: vec![note("number", &number.to_string())],
        };
        log.append(&[batch], NOW).unwrap();
        sync(&mut log);
    }
    log.mark(NOW).unwrap();
    sync(&mut log);
    place
}

#[test]
fn a_whole_log_verifies_and_every_flipped_byte_of_a_closed_segment_is_named() {
    let place = filled();
    let whole = verify(&DiskStorage::read_only(place.path())).unwrap();
    assert_eq!((whole.records, whole.damaged.len(), whole.cut), (40, 0, None));
    assert_eq!(whole.segments, place.segments().len());
    let path = &place.segments()[1];
    for byte in 0..fs::metadata(path).unwrap().len() {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut one = [0];
        file.read_exact_at(&mut one, byte).unwrap();
        file.write_all_at(&[!one[0]], byte).unwrap();
        let found = verify(&DiskStorage::read_only(place.path())).unwrap().damaged;
        assert_eq!(
            found.iter().filter(|damage| damage.segment == 2).count(),
            found.len()
        );
        assert!(!found.is_empty(), "byte {byte}");
        assert!(
            found.iter().all(|damage| damage.position <= byte),
            "byte {byte}: {found:?}"
        );
        file.write_all_at(&one, byte).unwrap();
    }
}

#[test]
fn a_missing_segment_is_named_and_a_removed_one_is_not() {
    let place = filled();
    fs::remove_file(&place.segments()[1]).unwrap();
    let found = verify(&DiskStorage::read_only(place.path())).unwrap().damaged;
    assert_eq!(found.iter().map(|damage| damage.segment).collect::<Vec<_>>(), [2]);
    let (_, opened) = place.try_open(&options()).unwrap();
    assert_eq!(opened.damaged, found);

    let place = filled();
    let (mut log, _) = place.try_open(&options()).unwrap();
    let before = place.segments().len();
    log.set_low(0, 10);
    log.set_low(1, 10);
    while let Some(plan) = log.plan_clean(NOW, 0) {
        let cleaned = plan.run();
        log.end_clean(cleaned, NOW).unwrap();
        sync(&mut log);
    }
    assert!(place.segments().len() < before);
    drop(log);
    let found = verify(&DiskStorage::read_only(place.path())).unwrap();
    assert_eq!(found.damaged, []);
}

#[test]
fn a_backup_taken_while_the_log_is_written_opens_with_all_that_was_acknowledged_before() {
    let place = filled();
    let (mut log, _) = place.try_open(&options()).unwrap();
    append(&mut log, vec![record(0, "acknowledged")]);
    sync(&mut log);
    let last = place.segments().pop().unwrap();
    let torn = OpenOptions::new().append(true).open(&last).unwrap();
    std::io::Write::write_all(&mut &torn, b"half a batch").unwrap();
    let target = Place::new();
    let copied = backup(&DiskStorage::read_only(place.path()), target.path()).unwrap();
    assert_eq!(copied.segments, place.segments().len());
    let before = values(&log, 0);
    let (copy, opened) = target.try_open(&options()).unwrap();
    assert_eq!((opened.cut, opened.damaged.len()), (None, 0));
    assert_eq!(values(&copy, 0), before);
    assert_eq!(copy.notes(), log.notes());
    let again = backup(&DiskStorage::read_only(place.path()), target.path());
    assert!(again.unwrap_err().to_string().contains("in use"));
    drop(copy);
    let again = backup(&DiskStorage::read_only(place.path()), target.path());
    assert!(again.unwrap_err().to_string().contains("empty folder"));
}

#[test]
fn a_segment_that_the_disk_does_not_give_back_is_listed_and_the_rest_of_the_log_is_copied() {
    let place = filled();
    unreadable(&place.segments()[2]);
    let source = DiskStorage::read_only(place.path());
    let found = verify(&source).unwrap();
    assert!(found.damaged.iter().all(|damage| damage.segment == 3));
    assert!(found.damaged[0].what.contains("cannot be read"), "{found:?}");
    let target = Place::new();
    backup(&source, target.path()).unwrap();
    let copied = verify(&DiskStorage::read_only(target.path())).unwrap();
    assert!(copied.damaged.iter().all(|damage| damage.segment == 3) && !copied.damaged.is_empty());
    let (log, opened) = target.try_open(&options()).unwrap();
    assert!(!opened.damaged.is_empty());
    let whole = values(&log, 0).into_iter().filter(|(_, value)| value.is_some());
    assert!(whole.count() > 10);
}

/// Puts in the place of a file what has a length and cannot be read.
fn unreadable(path: &std::path::Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    for entry in 0..40 {
        fs::write(path.join(entry.to_string()), "").unwrap();
    }
}

#[test]
fn an_end_that_the_disk_does_not_give_back_is_listed_and_is_not_called_torn() {
    let place = filled();
    unreadable(place.segments().last().unwrap());
    let found = verify(&DiskStorage::read_only(place.path())).unwrap();
    assert_eq!(found.cut, None);
    assert!(
        found
            .damaged
            .iter()
            .any(|damage| damage.what.contains("may have been acknowledged"))
    );
    assert!(found.records > 20, "{found:?}");
}
