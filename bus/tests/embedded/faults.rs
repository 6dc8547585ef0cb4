//! The disk is full or fails: publishers are told what is known, and the log goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions, Partition, Record, Room, StartAt};
use relay_clock::Clock;
use relay_log::simulated::{Aftermath, Call, Fault, Mischief, SimulatedDisk};
use relay_settings::ByteSize;

use crate::house::{all, counted, eventually, nothing_in_memory, offsets, open_on, record, topics};

fn quick() -> EmbeddedOptions {
    EmbeddedOptions {
        tidy_interval: Duration::from_millis(20),
        ..nothing_in_memory()
    }
}

fn fault(call: Call, times: u32, mischief: Mischief, aftermath: Aftermath) -> Fault {
    Fault {
        call,
        after: 0,
        times,
        mischief,
        aftermath,
    }
}

/// Publishes to `safe` until the log refuses; how many were acknowledged, and why no more.
async fn fill(bus: &EmbeddedBus) -> (i64, BusError) {
    for n in 0.. {
        if let Err(error) = bus
            .publish(vec![record("safe", 0, vec![7; 3000])], Vec::new())
            .await
        {
            return (n, error);
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_as_not_taken_and_the_log_goes_on_by_itself_when_there_is_room() {
    let disk = SimulatedDisk::new(1, 4096);
    let bus = open_on(&disk, quick());
    disk.limit(disk.used() + 100_000);
    let (taken, why) = fill(&bus).await;
    assert!(matches!(why, BusError::Full(_)), "{why:?}");
    assert!(taken > 20, "{taken} were taken");
    assert!(matches!(bus.probe().await, Err(BusError::Full(_))));
    assert_eq!(
        offsets(&all(&bus, "safe", 0).await),
        (0..taken).collect::<Vec<_>>(),
        "what was acknowledged is read while the disk is full"
    );
    disk.limit(u64::MAX);
    eventually("the log answers again", async || bus.probe().await.is_ok()).await;
    let positions = bus
        .publish(vec![record("safe", 0, "next")], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, taken, "what was refused took no offset");
    disk.kill();
    drop(bus);
    let bus = open_on(&disk, quick());
    assert_eq!(all(&bus, "safe", 0).await.len() as i64, taken + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_opens_and_ends() {
    let disk = SimulatedDisk::new(2, 4096);
    let bus = open_on(&disk, quick());
    disk.limit(disk.used() + 50_000);
    let (taken, _) = fill(&bus).await;
    drop(bus);
    disk.limit(disk.used());
    let bus = open_on(&disk, quick());
    assert_eq!(all(&bus, "safe", 0).await.len() as i64, taken);
    let refused = bus
        .publish(vec![record("safe", 0, vec![7; 3000])], Vec::new())
        .await;
    assert!(
        matches!(refused, Err(BusError::Full(_) | BusError::Failing(_))),
        "{refused:?}"
    );
    disk.limit(u64::MAX);
    eventually("the log answers again", async || bus.probe().await.is_ok()).await;
    let positions = bus
        .publish(vec![record("safe", 0, "next")], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_short_before_the_disk_is_full_and_what_runs_goes_on() {
    let disk = SimulatedDisk::new(3, 4096);
    let options = EmbeddedOptions {
        disk_reserve: Some(ByteSize::kib(100)),
        ..quick()
    };
    let bus = open_on(&disk, options);
    assert_eq!(bus.room(), Room::Enough);
    disk.limit(disk.used() + 90_000);
    eventually("room is short", async || bus.room() != Room::Enough).await;
    bus.publish(vec![record("safe", 0, vec![7; 3000])], Vec::new())
        .await
        .unwrap();
    bus.probe().await.unwrap();
    disk.limit(u64::MAX);
    eventually("there is room again", async || bus.room() == Room::Enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_is_told_as_not_taken_and_the_next_goes_on() {
    for mischief in [Mischief::Io, Mischief::Full] {
        let disk = SimulatedDisk::new(4, 4096);
        let bus = open_on(&disk, quick());
        disk.fail(fault(Call::Write, 1, mischief, Aftermath::StillDirty));
        let refused = bus.publish(vec![record("safe", 0, "a")], Vec::new()).await;
        match mischief {
            Mischief::Full => assert!(matches!(refused, Err(BusError::Full(_))), "{refused:?}"),
            _ => assert!(matches!(refused, Err(BusError::Failing(_))), "{refused:?}"),
        }
        let positions = bus
            .publish(vec![record("safe", 0, "b")], Vec::new())
            .await
            .unwrap();
        assert_eq!(positions[0].offset, 0);
        bus.probe().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_loses_no_acknowledgement_whatever_became_of_the_pages() {
    for aftermath in [Aftermath::StillDirty, Aftermath::MarkedClean, Aftermath::Dropped] {
        for seed in 0..5 {
            let disk = SimulatedDisk::new(seed, 512);
            let bus = Arc::new(open_on(&disk, quick()));
            bus.publish(vec![record("safe", 0, vec![1; 2000])], Vec::new())
                .await
                .unwrap();
            disk.fail(fault(Call::Sync, 3, Mischief::Io, aftermath));
            let mut acked = vec![0];
            for n in 1..20_u8 {
                // Refused while the disk fails, or unknown where the pages are gone: never acknowledged and lost.
                match bus
                    .publish(vec![record("safe", 0, vec![n; 2000])], Vec::new())
                    .await
                {
                    Ok(positions) => acked.push(positions[0].offset),
                    Err(BusError::Failing(_) | BusError::Unavailable(_)) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            assert!(acked.len() > 5, "{aftermath:?} {seed}: it goes on: {acked:?}");
            disk.cut_power();
            drop(bus);
            let bus = open_on(&disk, quick());
            let held = offsets(&all(&bus, "safe", 0).await);
            for offset in &acked {
                assert!(
                    held.contains(offset),
                    "{aftermath:?} {seed}: {offset} is not among {held:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_sync_has_lost_is_counted() {
    let disk = SimulatedDisk::new(9, 512);
    let bus = open_on(&disk, quick());
    for n in 0..5_u8 {
        bus.publish(vec![record("fast", 0, vec![n; 2000])], Vec::new())
            .await
            .unwrap();
    }
    assert_eq!(counted(&bus, "relay_log_lost_entries_total"), 0);
    disk.fail(fault(Call::Sync, 1, Mischief::Io, Aftermath::Dropped));
    let _ = bus.publish(vec![record("safe", 0, "a")], Vec::new()).await;
    eventually("it is counted", async || {
        counted(&bus, "relay_log_lost_entries_total") > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_for_ever_is_told_by_the_probe_and_holds_no_end_up() {
    let disk = SimulatedDisk::new(6, 4096);
    let bus = Arc::new(open_on(&disk, quick()));
    disk.fail(fault(Call::Sync, u32::MAX, Mischief::Io, Aftermath::Dropped));
    let appending = Arc::clone(&bus);
    let waiting =
        tokio::spawn(async move { appending.publish(vec![record("safe", 0, "a")], Vec::new()).await });
    eventually(
        "the probe says why",
        async || matches!(bus.probe().await, Err(BusError::Failing(reason)) if reason.contains("disk")),
    )
    .await;
    waiting.abort();
    let published = waiting.await;
    assert!(!matches!(published, Ok(Ok(_))), "it is not on the disk");
    let bus = Arc::into_inner(bus).expect("the appending's is gone");
    let began = std::time::Instant::now();
    tokio::task::spawn_blocking(move || drop(bus)).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_read_is_a_damaged_record_in_its_place_and_the_rest_is_read() {
    let disk = SimulatedDisk::new(7, 4096);
    let bus = open_on(&disk, nothing_in_memory());
    for n in 0..3 {
        bus.publish(vec![record("safe", 0, format!("{n}"))], Vec::new())
            .await
            .unwrap();
    }
    disk.fail(fault(Call::Read, 12, Mischief::Io, Aftermath::StillDirty));
    let found = all(&bus, "safe", 0).await;
    assert_eq!(offsets(&found), [0, 1, 2]);
    assert!(found[0].headers.get(relay_bus::header::DAMAGED).is_some());
    assert_eq!(found[2].value.as_deref(), Some(&b"2"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_does_not_read_is_given_up_also_where_each_wait_is_shorter_than_the_patience_with_it() {
    let options = EmbeddedOptions {
        read_patience: Duration::from_millis(500),
        ..nothing_in_memory()
    };
    let disk = SimulatedDisk::new(7, 4096);
    let bus = open_on(&disk, options);
    bus.publish(
        vec![record("safe", 0, "never read"), record("safe", 1, "read")],
        Vec::new(),
    )
    .await
    .unwrap();
    disk.fail(fault(Call::Read, u32::MAX, Mischief::Io, Aftermath::StillDirty));
    let of = |partition| (Partition::new("safe", partition), StartAt::Start);
    let mut reader = bus.read(vec![of(0), of(1)]).await.unwrap();
    let mut found = Vec::new();
    eventually("both records counted as damaged", async || {
        // As a stage does that has something else to look after.
        let looked = tokio::time::timeout(Duration::from_millis(20), reader.next()).await;
        found.extend(looked.into_iter().flat_map(Result::unwrap));
        found.len() == 2
    })
    .await;
    let damaged = |record: &Record| record.headers.get(relay_bus::header::DAMAGED).is_some();
    assert!(found.iter().all(damaged));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_old_log_is_refused_with_one_line() {
    for old in ["7.jnl", "keyspaces"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(old)).unwrap();
        let refused = EmbeddedBus::open(
            folder.path(),
            &topics(),
            EmbeddedOptions::default(),
            &Clock::system(),
        );
        let Err(BusError::Fatal(line)) = refused.map(|_| ()) else {
            panic!("{old}: it opened");
        };
        assert!(line.contains("older format") && line.contains(old), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_few_whatever_the_partitions_and_segments() {
    let disk = SimulatedDisk::new(8, 4096);
    let options = EmbeddedOptions {
        segment_size: ByteSize::kib(4),
        ..nothing_in_memory()
    };
    let bus = open_on(&disk, options);
    for n in 0..200 {
        bus.publish(vec![record("fast", n % 2, vec![0; 2000])], Vec::new())
            .await
            .unwrap();
    }
    assert_eq!(all(&bus, "fast", 0).await.len(), 100);
    assert_eq!(all(&bus, "fast", 1).await.len(), 100);
    let partition = Partition::new("fast", 0);
    assert_eq!(bus.range(&partition).await.unwrap().high, 100);
    assert!(disk.handles() <= 20, "{} files are open", disk.handles());
}
