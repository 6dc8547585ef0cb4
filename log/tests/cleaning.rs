//! Retention and compaction: what is wanted stays, whatever happens in between; what is not goes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;

use relay_log::simulated::SimulatedDisk;
use relay_log::{Log, Options};
use support::{DiskLog, NOW, Place, append, batch, keyed, record, sync, values};

const LAG: i64 = 1000;

fn options() -> Options {
    Options {
        segment_size: 2048,
        ..Options::default()
    }
}

/// One file and one index are kept.
fn few_open() -> Options {
    Options {
        open_files: 1,
        indexes: 1,
        ..options()
    }
}

/// Cleans until nothing is left to do; how many steps it took.
fn clean(log: &mut DiskLog, now_ms: i64) -> usize {
    let mut steps = 0;
    sync(log);
    log.mark(NOW).unwrap();
    sync(log);
    while let Some(plan) = log.plan_clean(now_ms, LAG) {
        let cleaned = plan.run();
        log.end_clean(cleaned, now_ms).unwrap();
        sync(log);
        steps += 1;
        assert!(steps < 1000, "cleaning comes to an end");
    }
    steps
}

#[test]
fn segments_in_which_nothing_is_wanted_are_removed_and_the_rest_is_rewritten() {
    let place = Place::new();
    let (mut log, _) = place.try_open(&options()).unwrap();
    for number in 0..200 {
        append(
            &mut log,
            vec![record(1, format!("short {number} {}", "x".repeat(200)))],
        );
        if number % 10 == 0 {
            append(&mut log, vec![record(2, format!("long {number}"))]);
        }
    }
    let before = log.size();
    assert_eq!(clean(&mut log, NOW), 0, "nothing may go so far");
    let kept = values(&log, 2);
    log.set_low(1, 180);
    assert!(clean(&mut log, NOW) > 10);
    assert!(log.size() < before / 3, "{} of {before}", log.size());
    assert_eq!(values(&log, 2), kept);
    assert_eq!(values(&log, 1).len(), 20);
    assert_eq!(log.range(1), 180..200);
    log.set_low(2, 20);
    log.set_low(1, 200);
    clean(&mut log, NOW);
    drop(log);
    let (mut log, opened) = place.try_open(&options()).unwrap();
    assert!(opened.cut.is_none() && opened.damaged.is_empty(), "{opened:?}");
    assert_eq!(
        append(&mut log, vec![record(1, "next"), record(2, "next")]),
        [200, 20]
    );
    assert!(place.segments().len() <= 4);
}

#[test]
fn a_low_offset_counts_only_when_what_made_it_right_is_proven_to_be_on_disk() {
    let place = Place::new();
    let (mut log, _) = place.try_open(&options()).unwrap();
    for _ in 0..50 {
        append(&mut log, vec![record(1, "x".repeat(200))]);
    }
    sync(&mut log);
    log.mark(NOW).unwrap();
    sync(&mut log);
    append(&mut log, vec![record(2, "what made it right")]);
    log.set_low(1, 50);
    assert_eq!(log.range(1), 50..50);
    assert!(log.plan_clean(NOW, LAG).is_none());
    sync(&mut log);
    assert!(log.plan_clean(NOW, LAG).is_none(), "nothing says so yet");
    log.mark(NOW).unwrap();
    sync(&mut log);
    assert!(log.plan_clean(NOW, LAG).is_some());
}

#[test]
fn compaction_keeps_the_newest_of_each_key_and_lets_tombstones_go_last() {
    let place = Place::new();
    let eager = Options {
        dead_records: 1,
        ..options()
    };
    let (mut log, _) = place.try_open(&eager).unwrap();
    log.set_compacted(7);
    for round in 0..20 {
        for key in 0..10 {
            let value = format!("{key} {round} {}", "x".repeat(50));
            append(&mut log, vec![keyed(7, &format!("key {key}"), Some(&value))]);
        }
    }
    for key in 0..5 {
        append(&mut log, vec![keyed(7, &format!("key {key}"), None)]);
    }
    for _ in 0..30 {
        append(&mut log, vec![record(1, "y".repeat(200))]);
    }
    clean(&mut log, NOW + LAG - 1);
    assert_eq!(values(&log, 7).len(), 205, "all are too young");
    clean(&mut log, NOW + LAG);
    let left = values(&log, 7);
    let newest: Vec<i64> = left.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(newest, [195, 196, 197, 198, 199, 204], "{left:?}");
    assert_eq!(append(&mut log, vec![keyed(7, "key 9", Some("new"))]), [205]);
    for _ in 0..30 {
        append(&mut log, vec![record(1, "y".repeat(200))]);
    }
    sync(&mut log);
    drop(log);

    let (mut log, opened) = place.try_open(&eager).unwrap();
    assert!(opened.cut.is_none() && opened.damaged.is_empty(), "{opened:?}");
    log.set_compacted(7);
    clean(&mut log, NOW + 10 * LAG);
    let newest: Vec<i64> = values(&log, 7).iter().map(|(offset, _)| *offset).collect();
    assert_eq!(newest, [195, 196, 197, 198, 205]);
    assert_eq!(log.range(7).end, 206);
}

#[test]
fn a_segment_that_was_begun_while_the_clock_was_ahead_is_closed_by_its_age() {
    let place = Place::new();
    let (mut log, _) = place.try_open(&options()).unwrap();
    let age = options().segment_age_ms;
    log.roll(NOW + 100 * age).unwrap();
    log.append(&[support::batch(vec![record(1, "x")])], NOW + 100 * age)
        .unwrap();
    assert!(
        !log.roll_if_old(NOW).unwrap(),
        "it is as old as when that is seen"
    );
    assert!(!log.roll_if_old(NOW + age - 1).unwrap());
    assert!(log.roll_if_old(NOW + age).unwrap());
}

#[test]
fn a_segment_whose_index_turns_out_damaged_is_written_anew_with_another() {
    let place = Place::new();
    let (mut log, _) = place.try_open(&few_open()).unwrap();
    for number in 0..100 {
        append(&mut log, vec![record(1, format!("{number} {}", "x".repeat(200)))]);
    }
    assert_eq!(clean(&mut log, NOW), 0, "nothing is to be done");
    let whole = values(&log, 1);
    // The places of the records, just before the last bytes of the file.
    let segment = &place.segments()[1];
    let mut bytes = std::fs::read(segment).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    std::fs::write(segment, bytes).unwrap();
    assert_eq!(values(&log, 1), whole, "it is scanned");
    assert_eq!(clean(&mut log, NOW), 1);
    assert_eq!(values(&log, 1), whole);
    assert_eq!(clean(&mut log, NOW), 0);
}

#[test]
fn a_reader_whose_segment_is_cleaned_under_it_plans_again() {
    let place = Place::new();
    let (mut log, _) = place.try_open(&few_open()).unwrap();
    for number in 0..100 {
        append(
            &mut log,
            vec![record(1, "x".repeat(200)), record(2, format!("{number}"))],
        );
    }
    let plan = log.plan_read(2, 0..100, 1000, 1 << 20);
    log.set_low(1, 100);
    clean(&mut log, NOW);
    let read = plan.run().unwrap();
    assert_eq!((read.found.len(), read.next), (0, 0));
    assert_eq!(values(&log, 2).len(), 100);
}

/// Its room is worth more than what says that it goes, which is written as soon as there is some.
#[test]
fn a_segment_that_goes_from_a_full_disk_is_not_taken_for_missing_after_a_crash() {
    for cut in [false, true] {
        for seed in 0..20 {
            let disk = SimulatedDisk::new(seed, 512);
            let open = || Log::open(Arc::new(disk.clone()), options(), 0x5eed, NOW).unwrap();
            let (mut log, _) = open();
            let sync = |log: &mut Log<SimulatedDisk>| {
                while let Some(ticket) = log.begin_sync() {
                    let result = ticket.run();
                    assert_eq!(log.end_sync(ticket, result, NOW).failing, None);
                }
            };
            for _ in 0..60 {
                log.append(&[batch(vec![record(1, "x".repeat(200))])], NOW)
                    .unwrap();
            }
            log.set_low(1, 40);
            sync(&mut log);
            log.mark(NOW).unwrap();
            sync(&mut log);
            let before = disk.names().len();
            disk.limit(disk.used());
            let plan = log.plan_removal().expect("a segment may go");
            let cleaned = plan.run();
            assert!(log.end_clean(cleaned, NOW).unwrap(), "it needs no room to go");
            assert_eq!(disk.names().len(), before - 1);
            sync(&mut log);
            drop(log);
            if cut {
                disk.cut_power();
            } else {
                disk.kill();
            }
            let (_, opened) = open();
            assert_eq!(opened.damaged, Vec::new(), "seed {seed}, power cut: {cut}");
        }
    }
}
