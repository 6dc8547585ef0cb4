//! The log without threads, on paused time: everything happens on the one thread of the test, and at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relay_bus::embedded::Inline;
use relay_bus::{Bus, Commit, ConsumerEvent, EmbeddedBus, EmbeddedOptions, Partition};
use relay_clock::{Clock, Passing};
use relay_log::simulated::{Aftermath, Call, Fault, Mischief, SimulatedDisk};
use relay_schemas::TimestampMs;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::house::{all, eager, eventually, nothing_in_memory, offsets, record, topics};

const SALT: u64 = 7;

/// The time of tokio's runtime, which is paused.
struct Paused(Instant);

impl Passing for Paused {
    fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

fn clock() -> Clock {
    Clock::driven(TimestampMs(1_700_000_000_000), Paused(Instant::now()))
}

fn open(disk: &SimulatedDisk, options: EmbeddedOptions, clock: &Clock) -> (EmbeddedBus, Inline) {
    let opened = EmbeddedBus::open_inline(disk.clone(), "a simulated disk", &topics(), options, clock, SALT);
    opened.unwrap()
}

/// On a disk that syncs at once.
fn start(disk: &SimulatedDisk, options: EmbeddedOptions) -> (EmbeddedBus, JoinHandle<()>) {
    let (bus, inline) = open(disk, options, &clock());
    (bus, tokio::spawn(inline.run(|| Duration::ZERO)))
}

async fn publish(bus: &EmbeddedBus, topic: &str, value: &str) -> i64 {
    let records = vec![record(topic, 0, value.to_owned())];
    bus.publish(records, Vec::new()).await.unwrap()[0].offset
}

#[tokio::test(start_paused = true)]
async fn a_log_without_threads_takes_reads_commits_and_ends_with_everything_on_disk() {
    let disk = SimulatedDisk::new(1, 4096);
    let (bus, inline) = start(&disk, nothing_in_memory());
    for n in 0..20 {
        assert_eq!(publish(&bus, "safe", &n.to_string()).await, n);
        assert_eq!(publish(&bus, "fast", &n.to_string()).await, n);
    }
    let mut member = bus.subscribe("g", &["fast".to_owned()]).await.unwrap();
    assert!(matches!(member.next().await, Ok(ConsumerEvent::Assigned(_))));
    let Ok(ConsumerEvent::Records(records)) = member.next().await else {
        panic!("no records");
    };
    assert_eq!(offsets(&records), (0..20).collect::<Vec<_>>());
    let partition = Partition::new("fast", 0);
    let commit = Commit {
        group: "g".to_owned(),
        partition: partition.clone(),
        next: 20,
    };
    member.commit(vec![commit]).await.unwrap();
    drop((member, bus));
    inline.await.unwrap();
    disk.cut_power();
    let (bus, _inline) = start(&disk, nothing_in_memory());
    for topic in ["safe", "fast"] {
        assert_eq!(offsets(&all(&bus, topic, 0).await), (0..20).collect::<Vec<_>>());
    }
    assert_eq!(bus.committed("g", &partition).await.unwrap(), Some(20));
}

#[tokio::test(start_paused = true)]
async fn what_must_be_on_disk_is_acknowledged_when_it_is_and_the_rest_at_once() {
    let disk = SimulatedDisk::new(1, 4096);
    let clock = clock();
    let (bus, inline) = open(&disk, EmbeddedOptions::default(), &clock);
    tokio::spawn(inline.run(|| Duration::from_millis(300)));
    let began = clock.instant();
    publish(&bus, "fast", "at once").await;
    assert_eq!(clock.since(began), Duration::ZERO);
    // One sync is for all that gathered before it began.
    let (_, _, late) = tokio::join!(publish(&bus, "safe", "a"), publish(&bus, "safe", "b"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        publish(&bus, "safe", "c").await;
        clock.since(began)
    });
    assert_eq!(late, Duration::from_millis(600));
}

fn fail(disk: &SimulatedDisk, call: Call, times: u32) {
    disk.fail(Fault {
        call,
        after: 0,
        times,
        mischief: Mischief::Io,
        aftermath: Aftermath::StillDirty,
    });
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_to_sync_is_waited_for() {
    let disk = SimulatedDisk::new(1, 4096);
    let (bus, _inline) = start(&disk, nothing_in_memory());
    fail(&disk, Call::Sync, 5);
    let mut offset = None;
    eventually("the disk syncs again", async || {
        let published = bus.publish(vec![record("safe", 0, "patient")], Vec::new()).await;
        offset = published.ok().map(|positions| positions[0].offset);
        offset.is_some()
    })
    .await;
    assert_eq!(
        all(&bus, "safe", 0).await.last().unwrap().position.offset,
        offset.unwrap()
    );
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_to_read_is_asked_again_after_a_pause() {
    let disk = SimulatedDisk::new(1, 4096);
    let clock = clock();
    let (bus, inline) = open(&disk, nothing_in_memory(), &clock);
    let _inline = tokio::spawn(inline.run(|| Duration::ZERO));
    publish(&bus, "safe", "here").await;
    // After the publish: what goes on after a failed sync reads too.
    fail(&disk, Call::Read, 2);
    let began = clock.instant();
    assert_eq!(offsets(&all(&bus, "safe", 0).await), [0]);
    // 5 ms and 10 ms, each once.
    assert_eq!(clock.since(began), Duration::from_millis(15));
}

/// A value, and who still holds it.
struct Held(Arc<[u8]>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_has_ended_holds_nothing_of_what_it_acknowledged_on_its_way_out() {
    let disk = SimulatedDisk::new(1, 4096);
    let (bus, inline) = open(&disk, EmbeddedOptions::default(), &clock());
    let inline = tokio::spawn(inline.run(|| Duration::from_millis(300)));
    let value: Arc<[u8]> = Arc::from(*b"the last one");
    let last = record("safe", 0, Bytes::from_owner(Held(Arc::clone(&value))));
    let publishing = bus.publish(vec![last], Vec::new());
    let in_time = tokio::time::timeout(Duration::from_millis(100), publishing).await;
    assert!(in_time.is_err(), "it is written, and not yet on the disk");
    drop(bus);
    inline.await.unwrap();
    assert_eq!(Arc::strong_count(&value), 1);
    let (bus, _inline) = start(&disk, EmbeddedOptions::default());
    assert_eq!(offsets(&all(&bus, "safe", 0).await), [0], "it was acknowledged");
}

/// A busy while: retention, cleaning, cold reads, commits, a slow disk.
async fn files_after_a_while() -> BTreeMap<String, Vec<u8>> {
    let disk = SimulatedDisk::new(3, 4096);
    let (bus, inline) = open(&disk, eager(), &clock());
    let mut slow = 0;
    let inline = tokio::spawn(inline.run(move || {
        slow = (slow + 1) % 5;
        Duration::from_millis(slow)
    }));
    let mut member = bus.subscribe("g", &["newest".to_owned()]).await.unwrap();
    for n in 0..200 {
        for topic in ["safe", "fast", "small", "brief", "newest"] {
            let mut record = record(topic, 0, vec![n; 2000]);
            record.key = Some(vec![n % 4].into());
            bus.publish(vec![record], Vec::new()).await.unwrap();
        }
        if let Ok(ConsumerEvent::Records(records)) = member.next().await {
            let commit = |record: &relay_bus::Record| Commit {
                group: "g".to_owned(),
                partition: record.position.partition.clone(),
                next: record.position.offset + 1,
            };
            member.commit(records.iter().map(commit).collect()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    drop((member, bus));
    inline.await.unwrap();
    let contents = |name: String| Some((name.clone(), disk.contents(&name)?));
    disk.names().into_iter().filter_map(contents).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_doings_leave_the_same_bytes() {
    let first = files_after_a_while().await;
    assert!(first.len() > 2, "{:?}", first.keys());
    for _ in 0..3 {
        assert!(
            first == files_after_a_while().await,
            "another run left other bytes"
        );
    }
}
