//! What the tests of the embedded log share.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Record, StartAt};
use relay_clock::Clock;
use relay_log::simulated::SimulatedDisk;
use relay_settings::ByteSize;

const TOPICS: &str = "
pools: [default]
topics:
  - { name: safe, partitions: 2, on_disk: true }
  - { name: fast, partitions: 2 }
  - { name: small, partitions: 1, retention_size: 200000B }
  - { name: brief, partitions: 1, retention: 0s }
  - { name: newest, partitions: 1, compacted: true }
";

pub fn topics() -> Manifest {
    Manifest::parse(TOPICS).unwrap()
}

pub fn open(folder: &Path, options: EmbeddedOptions) -> EmbeddedBus {
    EmbeddedBus::open(folder, &topics(), options, &Clock::system()).unwrap()
}

/// On a disk that can be told to fail.
pub fn open_on(disk: &SimulatedDisk, options: EmbeddedOptions) -> EmbeddedBus {
    EmbeddedBus::open_on(
        disk.clone(),
        "a simulated disk",
        &topics(),
        options,
        &Clock::system(),
        7,
    )
    .unwrap()
}

/// Without the tail in memory: everything is read from the disk.
pub fn nothing_in_memory() -> EmbeddedOptions {
    EmbeddedOptions {
        tail_size: ByteSize::b(0),
        read_patience: Duration::from_millis(30),
        ..EmbeddedOptions::default()
    }
}

/// Short segments and eager housekeeping.
pub fn eager() -> EmbeddedOptions {
    EmbeddedOptions {
        segment_size: ByteSize::kib(64),
        segment_age: Duration::from_millis(10),
        tidy_interval: Duration::from_millis(10),
        compaction_lag: Duration::ZERO,
        retention_grace: Duration::ZERO,
        ..nothing_in_memory()
    }
}

pub fn record(topic: &str, partition: i32, value: impl Into<Bytes>) -> Outgoing {
    Outgoing::to_partition(
        &Partition::new(topic, partition),
        Headers::default(),
        value.into(),
    )
}

/// All records that a partition holds now.
pub async fn all(bus: &EmbeddedBus, topic: &str, partition: i32) -> Vec<Record> {
    let partition = Partition::new(topic, partition);
    let range = bus.range(&partition).await.unwrap();
    let mut found: Vec<Record> = Vec::new();
    if range.low == range.high {
        return found;
    }
    let mut reader = bus.read(vec![(partition, StartAt::Start)]).await.unwrap();
    while found
        .last()
        .is_none_or(|last| last.position.offset + 1 < range.high)
    {
        found.extend(reader.next().await.unwrap());
    }
    found
}

pub fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.position.offset).collect()
}

/// What a counter says, over all topics.
pub fn counted(bus: &EmbeddedBus, name: &str) -> u64 {
    let registry = Registry::new();
    bus.register(&registry).unwrap();
    let families = registry.gather();
    let of_name = families.iter().filter(|family| family.name() == name);
    let values = of_name.flat_map(prometheus::proto::MetricFamily::get_metric);
    values.map(|metric| metric.get_counter().get_value() as u64).sum()
}

/// Waits for what the log does in its own time.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Whether everything that was acknowledged is there, without gaps, and goes on with the next offset.
pub async fn holds(bus: &EmbeddedBus, acked: &[(String, i32, i64)], topics: &[&str]) {
    for topic in topics {
        for partition in 0..2 {
            let held = offsets(&all(bus, topic, partition).await);
            assert_eq!(
                held,
                (0..held.len() as i64).collect::<Vec<_>>(),
                "{topic} {partition}: gaps"
            );
            let of_this = acked
                .iter()
                .filter(|(name, number, _)| name == topic && *number == partition);
            let last = of_this.map(|(_, _, offset)| *offset).max().unwrap_or(-1);
            assert!(
                held.len() as i64 > last,
                "{topic} {partition}: {last} was acknowledged, {} are held",
                held.len()
            );
            let next = bus
                .publish(vec![record(topic, partition, "more")], Vec::new())
                .await
                .unwrap();
            assert_eq!(next[0].offset, held.len() as i64);
        }
    }
}
