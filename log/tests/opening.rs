//! What a loss of power does to the beginning of a segment in which nothing was acknowledged is no damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;

use relay_log::{Batch, DiskStorage, verify};
use support::{NOW, Place, append, note, record, sync, values};

/// A first segment that is on disk, and one or two later ones, opened with checkpoints of several pages, that are not.
fn begun(later: usize) -> Place {
    let place = Place::new();
    let (mut log, _) = place.open();
    let notes = (0..40).map(|number| note(&format!("note {number}"), &"x".repeat(200)));
    let notes = Batch {
        records: vec![record(1, "acknowledged")],
        notes: notes.collect(),
    };
    log.append(&[notes], NOW).unwrap();
    sync(&mut log);
    for number in 0..later {
        log.roll(NOW).unwrap();
        append(&mut log, vec![record(1, format!("not {number}"))]);
    }
    place
}

fn check(place: &Place, what: &str) {
    let found = verify(&DiskStorage::read_only(place.path())).unwrap();
    assert_eq!(found.damaged, [], "verify, {what}");
    let (mut log, opened) = place.open();
    assert_eq!(opened.damaged, [], "open, {what}");
    let values_before = values(&log, 1);
    assert_eq!(values_before[0].1.as_deref(), Some("acknowledged"), "{what}");
    assert!(values_before.iter().all(|(_, value)| value.is_some()), "{what}");
    assert_eq!(log.notes().len(), 40, "{what}");
    append(&mut log, vec![record(1, "new")]);
    sync(&mut log);
    log.mark(NOW).unwrap();
    sync(&mut log);
    drop(log);
    let found = verify(&DiskStorage::read_only(place.path())).unwrap();
    assert_eq!(
        (found.damaged, found.cut),
        (Vec::new(), None),
        "afterwards, {what}"
    );
    let (log, opened) = place.open();
    assert_eq!(opened.damaged, [], "again, {what}");
    assert_eq!(values(&log, 1).len(), values_before.len() + 1, "{what}");
}

#[test]
fn torn_pages_of_what_a_segment_begins_with_are_no_damage_where_nothing_of_it_was_acknowledged() {
    for later in 1..=2 {
        let place = begun(later);
        let begun: Vec<Vec<u8>> = place.segments()[1..]
            .iter()
            .map(|path| fs::read(path).unwrap())
            .collect();
        for (at, bytes) in begun.iter().enumerate() {
            for page in (0..bytes.len()).step_by(512) {
                let copy = place.copy();
                let mut torn = bytes.clone();
                let end = (page + 512).min(torn.len());
                torn[page..end].fill(0);
                fs::write(&copy.segments()[1 + at], torn).unwrap();
                check(
                    &copy,
                    &format!("{later} later segments, segment {}, page {page} zeroed", at + 2),
                );
            }
        }
    }
}

#[test]
fn one_torn_copy_of_a_head_is_no_damage_where_nothing_of_the_segment_was_acknowledged() {
    for later in 1..=2 {
        for at in 1..=later {
            for half in [0, 64] {
                let copy = begun(later);
                let path = &copy.segments()[at];
                let mut torn = fs::read(path).unwrap();
                torn[half..half + 64].fill(0);
                fs::write(path, torn).unwrap();
                check(
                    &copy,
                    &format!("{later} later segments, segment {}, copy at {half}", at + 1),
                );
            }
        }
    }
}
