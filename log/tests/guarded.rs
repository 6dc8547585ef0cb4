//! What other programs do to the folder of an open log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::sync::Arc;

use relay_log::simulated::SimulatedDisk;
use relay_log::{DiskStorage, Log, Options, Storage, Unreadable, verify};
use support::{NOW, Place, append, batch, record, sync, values};

#[test]
fn who_removes_the_lock_file_opens_no_second_log() {
    let place = Place::new();
    let log = place.open();
    fs::remove_file(place.path().join("LOCK")).unwrap();
    let error = DiskStorage::open(place.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(log);
    place.open();
}

#[test]
fn a_segment_that_is_removed_while_it_is_written_is_written_anew_before_anything_more_is_acknowledged() {
    for quiet in [false, true] {
        let place = Place::new();
        let (mut log, _) = place.open();
        append(&mut log, vec![record(1, "acknowledged")]);
        sync(&mut log);
        fs::remove_file(&place.segments()[0]).unwrap();
        if quiet {
            assert!(log.check_name().unwrap_err().to_string().contains("removed"));
            assert_eq!(log.mend(NOW, Unreadable::Wait).failing, None);
        }
        append(&mut log, vec![record(1, "later")]);
        sync(&mut log);
        let expected = [
            (0, Some("acknowledged".to_owned())),
            (1, Some("later".to_owned())),
        ];
        assert_eq!(values(&log, 1), expected);
        drop(log);
        let (log, opened) = place.open();
        assert_eq!((opened.damaged, opened.cut), (Vec::new(), None));
        assert_eq!(values(&log, 1), expected);
    }
}

#[test]
fn a_segment_that_is_renamed_while_it_is_written_gets_its_name_back() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "acknowledged")]);
    sync(&mut log);
    let path = &place.segments()[0];
    fs::rename(path, path.with_extension("seg.x")).unwrap();
    append(&mut log, vec![record(1, "later")]);
    sync(&mut log);
    assert!(path.is_file());
    drop(log);
    let (log, _) = place.open();
    assert_eq!(values(&log, 1).len(), 2);
}

#[test]
fn another_file_in_the_place_of_the_segment_stops_the_log_until_it_is_moved_away() {
    let place = Place::new();
    let (mut log, _) = place.open();
    append(&mut log, vec![record(1, "acknowledged")]);
    sync(&mut log);
    let path = &place.segments()[0];
    fs::remove_file(path).unwrap();
    fs::write(path, "somebody's").unwrap();
    append(&mut log, vec![record(1, "later")]);
    let ticket = log.begin_sync().unwrap();
    let result = ticket.run();
    let end = log.end_sync(ticket, result, NOW);
    assert!(end.failing.unwrap().contains("move that away"));
    assert_eq!((end.synced, fs::read(path).unwrap()), (1, b"somebody's".to_vec()));
    fs::remove_file(path).unwrap();
    let end = log.mend(NOW, Unreadable::Wait);
    assert_eq!((end.failing, end.synced), (None, log.last()));
    assert_eq!(values(&log, 1).len(), 2);
}

#[test]
fn a_folder_that_was_moved_away_takes_nothing_and_goes_on_once_it_is_back() {
    let place = Place::new();
    let (folder, away) = (place.path().join("log"), place.path().join("away"));
    let storage = Arc::new(DiskStorage::open(&folder).unwrap());
    let (mut log, _) = Log::open(storage, Options::default(), 0x5eed, NOW).unwrap();
    fs::rename(&folder, &away).unwrap();
    // A second one in its place is another log, and none of the first one's business.
    let second = DiskStorage::open(&folder).unwrap();
    append(&mut log, vec![record(1, "first")]);
    let ticket = log.begin_sync().unwrap();
    let result = ticket.run();
    assert!(log.end_sync(ticket, result, NOW).failing.is_some());
    assert!(log.roll(NOW).is_err());
    assert_eq!(second.list().unwrap().len(), 1, "only its lock");
    drop(second);
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(log.mend(NOW, Unreadable::Wait).failing, None);
    assert_eq!(values(&log, 1).len(), 1);
}

#[test]
fn what_was_written_anew_survives_a_loss_of_power() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, 512);
        let open = || Log::open(Arc::new(disk.clone()), Options::default(), 0x5eed, NOW).unwrap();
        let (mut log, _) = open();
        for text in ["before", "after"] {
            log.append(&[batch(vec![record(1, text)])], NOW).unwrap();
            let ticket = log.begin_sync().unwrap();
            let result = ticket.run();
            let end = log.end_sync(ticket, result, NOW);
            assert_eq!((end.failing, end.synced), (None, log.last()));
            if text == "before" {
                disk.remove("00000000000000000001.seg").unwrap();
            }
        }
        drop(log);
        disk.cut_power();
        let (log, opened) = open();
        assert_eq!(opened.damaged, []);
        assert_eq!(log.range(1), 0..2, "seed {seed}");
    }
}

fn filled() -> Place {
    let place = Place::new();
    let (mut log, _) = place.try_open(&small()).unwrap();
    for number in 0..80 {
        append(&mut log, vec![record(1, format!("value {number:2}"))]);
        sync(&mut log);
    }
    log.mark(NOW).unwrap();
    sync(&mut log);
    place
}

fn small() -> Options {
    Options {
        segment_size: 1024,
        ..Options::default()
    }
}

#[test]
fn segments_that_changed_places_get_their_names_back() {
    let place = filled();
    let segments = place.segments();
    let aside = place.path().join("aside");
    for (from, to) in [
        (&segments[2], &aside),
        (&segments[5], &segments[2]),
        (&aside, &segments[5]),
    ] {
        fs::rename(from, to).unwrap();
    }
    let found = verify(&DiskStorage::read_only(place.path())).unwrap().damaged;
    assert!(
        found
            .iter()
            .any(|damage| damage.what.contains("00000000000000000006.seg"))
    );
    let (log, opened) = place.try_open(&small()).unwrap();
    assert_eq!((opened.damaged, opened.misnamed.len()), (Vec::new(), 2));
    assert!(opened.misnamed.iter().all(|misnamed| misnamed.aside.is_none()));
    assert_eq!(values(&log, 1).len(), 80);
    assert!(values(&log, 1).iter().all(|(_, value)| value.is_some()));
}

#[test]
fn a_copy_of_a_segment_under_another_name_is_set_aside_and_never_removed() {
    let place = filled();
    let segments = place.segments();
    let copied = fs::read(&segments[3]).unwrap();
    let foreign = place.path().join("00000000000000000777.seg");
    fs::write(&foreign, &copied).unwrap();
    // Set aside before, by another start.
    fs::write(place.path().join("00000000000000000777.seg.aside"), "older").unwrap();
    let (log, opened) = place.try_open(&small()).unwrap();
    let name = "00000000000000000777.seg.aside.aside";
    assert_eq!(opened.misnamed[0].aside.as_deref(), Some(name));
    assert_eq!(fs::read(place.path().join(name)).unwrap(), copied);
    assert_eq!((opened.damaged, values(&log, 1).len()), (Vec::new(), 80));
}

#[test]
fn a_closed_segment_that_was_removed_is_named_and_written_anew_while_it_is_open() {
    let place = filled();
    let (mut log, _) = place.try_open(&small()).unwrap();
    assert!(log.gone(0).0.is_empty());
    let segments = place.segments();
    let kept = fs::read(&segments[1]).unwrap();
    // One of them is open, since it was read from.
    assert_eq!(log.plan_read(1, 0..1, 1, 1).run().unwrap().found.len(), 1);
    for removed in [&segments[0], &segments[1]] {
        fs::remove_file(removed).unwrap();
    }
    let (gone, next) = log.gone(0);
    assert_eq!(gone.iter().map(|gone| gone.segment).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(next, None);
    assert_eq!(
        [&gone[0], &gone[1]].map(|gone| gone.put_back().unwrap()),
        [true, false]
    );
    drop(gone);
    fs::write(&segments[1], kept).unwrap();
    assert!(log.gone(0).0.is_empty());
    sync(&mut log);
    drop(log);
    let (log, opened) = place.try_open(&small()).unwrap();
    assert_eq!((opened.damaged, values(&log, 1).len()), (Vec::new(), 80));
}
