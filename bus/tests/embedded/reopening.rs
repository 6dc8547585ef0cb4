//! Opening again, reading from the disk, many at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_bus::{
    Bus, BusError, Commit, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, StartAt, header, read,
};
use relay_clock::Clock;
use relay_schemas::{Outcome, Payload, Planned, Registry, samples};

use crate::house::{all, eager, offsets, open, record, topics};

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
async fn a_reader_that_is_far_behind_reads_from_disk_across_segments() {
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
                assert!(seen.insert((record.position.partition.topic, record.value.unwrap().to_vec())));
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
        &topics(),
        EmbeddedOptions::default(),
        &Clock::system(),
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
async fn who_shares_the_process_with_a_writer_gets_the_value_that_it_wrote_and_others_decode_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let (planned, outcome) = (Arc::new(samples::planned()), Arc::new(samples::outcome()));
    let partition = Partition::new("safe", 0);
    let headers = Headers::default;
    let records = [
        Payload::of(Arc::clone(&planned)),
        Payload::of(Arc::clone(&outcome)),
    ]
    .map(|value| Outgoing::to_partition(&partition, headers(), value));
    bus.publish(records.to_vec(), Vec::new()).await.unwrap();
    let schemas = Registry::default();
    let same = all(&bus, "safe", 0).await;
    let said: Arc<Planned> = read(&schemas, &same[0]).unwrap();
    assert!(Arc::ptr_eq(&said, &planned), "nothing was decoded");
    assert!(
        read::<Outcome>(&schemas, &same[0]).is_err(),
        "what it says is no outcome, whether it is at hand or not"
    );
    let mut damaged = same[1].clone();
    damaged.headers.set(header::DAMAGED, "here".to_owned());
    assert!(
        read::<Outcome>(&schemas, &damaged).is_err(),
        "that the log says so counts"
    );
    drop(bus);
    let later = all(&open(folder.path(), EmbeddedOptions::default()), "safe", 0).await;
    assert!(later.iter().all(|record| {
        let value = record.value.as_ref().unwrap();
        value.said::<Planned>().is_none() && value.said::<Outcome>().is_none()
    }));
    assert_eq!(read::<Planned>(&schemas, &later[0]).unwrap(), planned);
    assert_eq!(read::<Outcome>(&schemas, &later[1]).unwrap(), outcome);
    assert_eq!(same[0].value, later[0].value);
}
