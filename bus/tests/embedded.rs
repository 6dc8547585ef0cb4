//! What only the embedded log promises: it is a set of files, and whatever happens to the process or the power, what was
//! acknowledged is still there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relay_bus::embedded::{cut_to_last_sync, last_synced};
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, BusError, Commit, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Record, StartAt,
};
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

fn open(folder: &Path, options: EmbeddedOptions) -> EmbeddedBus {
    EmbeddedBus::open(folder, &Manifest::parse(TOPICS).unwrap(), options).unwrap()
}

fn record(topic: &str, partition: i32, value: impl Into<Bytes>) -> Outgoing {
    Outgoing::to_partition(
        &Partition::new(topic, partition),
        Headers::default(),
        value.into(),
    )
}

/// All records that a partition holds now.
async fn all(bus: &EmbeddedBus, topic: &str, partition: i32) -> Vec<Record> {
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

fn offsets(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.position.offset).collect()
}

/// Waits for what housekeeping does in its own time.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Short epochs and eager housekeeping.
fn eager() -> EmbeddedOptions {
    EmbeddedOptions {
        epoch_size: ByteSize::kib(64),
        epoch_age: Duration::from_millis(10),
        tidy_interval: Duration::from_millis(10),
        compaction_lag: Duration::ZERO,
        tail_size: ByteSize::b(0),
        ..EmbeddedOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopened_log_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let bus = open(folder.path(), EmbeddedOptions::default());
        for topic in ["safe", "fast", "newest"] {
            let commit = Commit {
                group: "g".to_owned(),
                partition: Partition::new(topic, 0),
                next: round * 3 + 1,
            };
            let records = (0..3).map(|n| record(topic, 0, format!("{round}-{n}"))).collect();
            let positions = bus.publish(records, vec![commit]).await.unwrap();
            assert_eq!(positions[0].offset, round * 3, "{topic}");
            assert_eq!(
                offsets(&all(&bus, topic, 0).await),
                (0..round * 3 + 3).collect::<Vec<_>>(),
                "{topic}"
            );
        }
        drop(bus);
        let bus = open(folder.path(), EmbeddedOptions::default());
        for topic in ["safe", "fast", "newest"] {
            let committed = bus.committed("g", &Partition::new(topic, 0)).await.unwrap();
            assert_eq!(committed, Some(round * 3 + 1), "{topic}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_far_behind_reads_from_disk_across_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        fetch_records: 7,
        ..eager()
    };
    let bus = open(folder.path(), options.clone());
    for n in 0..300 {
        let body = format!("{n}:{}", "x".repeat(2000));
        bus.publish(
            vec![record("fast", n % 2, body.clone()), record("safe", 0, body)],
            Vec::new(),
        )
        .await
        .unwrap();
    }
    assert_eq!(offsets(&all(&bus, "fast", 1).await), (0..150).collect::<Vec<_>>());
    assert_eq!(offsets(&all(&bus, "safe", 0).await), (0..300).collect::<Vec<_>>());
    drop(bus);
    let bus = open(folder.path(), options);
    let found = all(&bus, "fast", 1).await;
    assert_eq!(offsets(&found), (0..150).collect::<Vec<_>>());
    assert!(found[149].value.as_ref().unwrap().starts_with(b"299:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publishers_at_once_lose_nothing_and_give_no_offset_twice() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(open(folder.path(), EmbeddedOptions::default()));
    let mut consumer = bus
        .subscribe("g", &["safe".to_owned(), "fast".to_owned()])
        .await
        .unwrap();
    let publishers: Vec<_> = (0..16)
        .map(|publisher| {
            let bus = Arc::clone(&bus);
            tokio::spawn(async move {
                for n in 0..50 {
                    let value = format!("{publisher}-{n}");
                    // Buffered and synced records mix in one partition order through the two-topic publishes.
                    let records = if n % 3 == 0 {
                        vec![record("safe", 0, value.clone()), record("fast", 0, value)]
                    } else {
                        vec![record("fast", 0, value)]
                    };
                    bus.publish(records, Vec::new()).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = std::collections::HashMap::new();
    let mut seen = BTreeSet::new();
    while seen.len() < 16 * (50 + 17) {
        if let relay_bus::ConsumerEvent::Records(records) = consumer.next().await.unwrap() {
            for record in records {
                let expected = next.entry(record.position.partition.clone()).or_insert(0);
                assert_eq!(record.position.offset, *expected);
                *expected += 1;
                assert!(seen.insert((record.position.partition.topic, record.value.unwrap())));
            }
        }
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_opener_is_refused_and_told_who_holds_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let refused = EmbeddedBus::open(
        folder.path(),
        &Manifest::parse(TOPICS).unwrap(),
        EmbeddedOptions::default(),
    );
    match refused.err() {
        Some(BusError::Unavailable(reason)) => {
            assert!(reason.contains(&std::process::id().to_string()), "{reason}");
            assert!(reason.contains(&folder.path().display().to_string()), "{reason}");
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    drop(bus);
    open(folder.path(), EmbeddedOptions::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_says_so_to_whoever_still_waits() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let mut reader = bus
        .read(vec![(Partition::new("fast", 0), StartAt::End)])
        .await
        .unwrap();
    let waiting = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    drop(bus);
    assert!(matches!(waiting.await.unwrap(), Err(BusError::Fatal(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_bytes_keeps_the_newest_and_gives_the_disk_back() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let partition = Partition::new("small", 0);
    for _ in 0..1000 {
        bus.publish(vec![record("small", 0, vec![7; 2000])], Vec::new())
            .await
            .unwrap();
    }
    // 200 kB are 100 records; an epoch holds about 32.
    eventually("less than 140 of 1000 records are held", async || {
        let range = bus.range(&partition).await.unwrap();
        range.high - range.low < 140
    })
    .await;
    let range = bus.range(&partition).await.unwrap();
    assert!(range.high == 1000 && range.high - range.low >= 99, "{range:?}");
    assert_eq!(
        offsets(&all(&bus, "small", 0).await),
        (range.low..1000).collect::<Vec<_>>()
    );
    eventually(
        "the tables take less than 800 kB of the 2 MB written",
        async || size(&folder.path().join("keyspaces")) < 800_000,
    )
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    let again = bus.range(&partition).await.unwrap();
    assert!(
        again.high == 1000 && again.low >= range.low,
        "{again:?} after {range:?}"
    );
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_time_lets_everything_go_but_not_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    bus.publish(vec![record("brief", 0, "a"), record("brief", 0, "b")], Vec::new())
        .await
        .unwrap();
    let partition = Partition::new("brief", 0);
    eventually("both records are gone", async || {
        bus.range(&partition).await.unwrap().low == 2
    })
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    let positions = bus
        .publish(vec![record("brief", 0, "c")], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_newest_of_each_key_and_forgets_old_tombstones() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let keyed = |key: &'static str, value: Option<String>| Outgoing {
        key: Some(Bytes::from_static(key.as_bytes())),
        value: value.map(Bytes::from),
        ..record("newest", 0, "")
    };
    for n in 0..20 {
        let records = vec![keyed("a", Some(n.to_string())), keyed("b", Some(n.to_string()))];
        bus.publish(records, Vec::new()).await.unwrap();
    }
    bus.publish(
        vec![keyed("a", None), keyed("c", Some("last".to_owned()))],
        Vec::new(),
    )
    .await
    .unwrap();
    eventually("only b and c are left", async || {
        offsets(&all(&bus, "newest", 0).await) == [39, 41]
    })
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    assert_eq!(offsets(&all(&bus, "newest", 0).await), [39, 41]);
    let positions = bus
        .publish(vec![keyed("b", Some("newer".to_owned()))], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, 42);
    eventually("the older b is gone", async || {
        offsets(&all(&bus, "newest", 0).await) == [41, 42]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    for epoch_size in [ByteSize::mib(2), ByteSize::kib(64)] {
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions {
            record_syncs: true,
            epoch_size,
            ..EmbeddedOptions::default()
        };
        let bus = open(folder.path(), options.clone());
        for n in 0..100 {
            bus.publish(vec![record("fast", 0, vec![1; 1500])], Vec::new())
                .await
                .unwrap();
            if n % 10 == 0 {
                bus.publish(vec![record("safe", 0, format!("{n}"))], Vec::new())
                    .await
                    .unwrap();
            }
        }
        drop(bus);
        assert!(last_synced(folder.path()).unwrap().is_some());
        let cut = cut_to_last_sync(folder.path()).unwrap();
        assert!(cut > 8 * 1500, "{cut} bytes were cut");
        let bus = open(folder.path(), options);
        assert_eq!(offsets(&all(&bus, "safe", 0).await), (0..10).collect::<Vec<_>>());
        let fast = all(&bus, "fast", 0).await;
        assert!(
            (91..100).contains(&fast.len()),
            "{} buffered records are left",
            fast.len()
        );
        assert_eq!(offsets(&fast), (0..fast.len() as i64).collect::<Vec<_>>());
        let positions = bus
            .publish(vec![record("safe", 0, "next")], Vec::new())
            .await
            .unwrap();
        assert_eq!(positions[0].offset, 10);
    }
}

const CHILD_FOLDER: &str = "RELAY_TEST_CHILD_FOLDER";

/// Not a test of its own: the process that the next tests kill. Without the variable there is nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_publishes_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let options = EmbeddedOptions {
        record_syncs: true,
        epoch_size: ByteSize::kib(128),
        ..EmbeddedOptions::default()
    };
    let bus = Arc::new(open(Path::new(&folder), options));
    let publishers: Vec<_> = [("safe", 0), ("safe", 1), ("fast", 0), ("fast", 1)]
        .into_iter()
        .map(|(topic, partition)| {
            let bus = Arc::clone(&bus);
            tokio::spawn(async move {
                loop {
                    let commit = Commit {
                        group: "g".to_owned(),
                        partition: Partition::new(topic, partition),
                        next: 1,
                    };
                    let positions = bus
                        .publish(vec![record(topic, partition, vec![9; 1000])], vec![commit])
                        .await
                        .unwrap();
                    let line = format!("acked {topic} {partition} {}\n", positions[0].offset);
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    futures::future::try_join_all(publishers).await.unwrap();
}

/// Lets a child publish, kills it with SIGKILL, and returns what it had been acknowledged: topic, partition, offset.
fn killed_while_publishing(folder: &Path, lines: usize) -> Vec<(String, i32, i64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "child_that_publishes_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut acked = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        let whole = line.ends_with('\n');
        if let (true, Some(rest)) = (whole, line.trim_end().split("acked ").nth(1)) {
            let parts: Vec<&str> = rest.split(' ').collect();
            acked.push((
                parts[0].to_owned(),
                parts[1].parse().unwrap(),
                parts[2].parse().unwrap(),
            ));
            if acked.len() == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    assert!(acked.len() >= lines);
    acked
}

async fn holds(bus: &EmbeddedBus, acked: &[(String, i32, i64)], topics: &[&str]) {
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

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    for lines in [50, 2000] {
        let acked = killed_while_publishing(folder.path(), lines);
        let bus = open(folder.path(), EmbeddedOptions::default());
        holds(&bus, &acked, &["safe", "fast"]).await;
        // Each publish carried a commit; a publisher that was not acknowledged in time has none to keep.
        for (topic, partition, _) in &acked {
            let partition = Partition::new(topic.as_str(), *partition);
            assert_eq!(
                bus.committed("g", &partition).await.unwrap(),
                Some(1),
                "{partition:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_loss_under_load_loses_nothing_that_was_to_be_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    for lines in [50, 2000] {
        let acked = killed_while_publishing(folder.path(), lines);
        cut_to_last_sync(folder.path()).unwrap();
        let bus = open(folder.path(), EmbeddedOptions::default());
        holds(&bus, &acked, &["safe"]).await;
    }
}
