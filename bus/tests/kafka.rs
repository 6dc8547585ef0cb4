//! What only Apache Kafka has. The rest is in the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use relay_bus::testing::{apply, brokers, delete, unique};
use relay_bus::{
    Bus, BusError, Commit, ConsumerEvent, Headers, KafkaBus, KafkaOptions, Outgoing, Partition, StartAt,
};

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect() -> KafkaBus {
    KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap()
}

fn placed(topic: &str, value: String) -> Outgoing {
    Outgoing::to_partition(&Partition::new(topic, 0), Headers::default(), value)
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_says_what_it_made_changed_and_left() {
    let bus = KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap();
    let name = unique("apply");
    let made = apply(&bus, &format!("name: {name}, partitions: 2, retention: 1h")).await;
    assert_eq!(made, format!("{name}: created, 2 partitions"));
    let left = apply(&bus, &format!("name: {name}, partitions: 2, retention: 1h")).await;
    assert_eq!(left, format!("{name}: unchanged"));
    let changed = apply(&bus, &format!("name: {name}, partitions: 3, retention: 2h")).await;
    assert_eq!(
        changed,
        format!("{name}: partitions 2 → 3, retention.ms 3600000 → 7200000")
    );
    // What the first change set is still set after the second.
    let changed = apply(
        &bus,
        &format!("name: {name}, partitions: 3, retention: 2h, compacted: true"),
    )
    .await;
    assert_eq!(
        changed,
        format!(
            "{name}: cleanup.policy delete → compact, min.cleanable.dirty.ratio 0.5 → 0.1, segment.bytes 1073741824 → 16777216, segment.ms 604800000 → 600000"
        )
    );
    let left = apply(
        &bus,
        &format!("name: {name}, partitions: 1, retention: 2h, compacted: true"),
    )
    .await;
    assert!(left.contains("keeps its 3 partitions"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_unavailable_and_a_bad_property_is_fatal() {
    let mut options = KafkaOptions::new("127.0.0.1:1");
    options.request_timeout = Duration::from_millis(300);
    options.publish_timeout = Duration::from_millis(300);
    let bus = KafkaBus::connect(options.clone(), &relay_clock::Clock::system()).unwrap();
    let record = Outgoing::keyed("t", "k", Headers::default(), "v");
    let from = vec![(Partition::new("t", 0), StartAt::Start)];
    let answers = [
        bus.probe().await.err(),
        bus.publish(vec![record], Vec::new()).await.err(),
        bus.subscribe("g", &["t".to_owned()]).await.err(),
        bus.read(from).await.err(),
        bus.committed("g", &Partition::new("t", 0)).await.err(),
    ];
    for answer in answers {
        assert!(matches!(answer, Some(BusError::Unavailable(_))), "{answer:?}");
    }
    options
        .properties
        .insert("no.such.property".to_owned(), "1".into());
    assert!(matches!(
        KafkaBus::connect(options, &relay_clock::Clock::system()).err(),
        Some(BusError::Fatal(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_records_are_not_refused_for_a_batch_that_is_larger_than_their_topic_allows() {
    let (bus, other) = (connect(), connect());
    let name = unique("batches");
    apply(&bus, &format!("name: {name}, partitions: 1, max_record: 64KiB")).await;
    let records = || (0..600).map(|n| placed(&name, format!("{n:01000}"))).collect();
    let positions = bus.publish(records(), Vec::new()).await.unwrap();
    assert_eq!(positions.len(), 600);
    // Somebody lowers the limit while this process runs.
    apply(&other, &format!("name: {name}, partitions: 1, max_record: 8KiB")).await;
    let positions = bus.publish(records(), Vec::new()).await.unwrap();
    let offsets: std::collections::BTreeSet<i64> = positions.iter().map(|at| at.offset).collect();
    assert_eq!(offsets.len(), 600, "each lies somewhere");
    let large = bus
        .publish(vec![placed(&name, "x".repeat(9_000))], Vec::new())
        .await;
    assert!(
        matches!(&large, Err(BusError::TooLarge { limit: 8_192, .. })),
        "{large:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_stops_whoever_reads_it_with_the_way_out() {
    let bus = connect();
    let name = unique("anew");
    let topic = format!("name: {name}, partitions: 1");
    apply(&bus, &topic).await;
    let old = (0..5).map(|n| placed(&name, n.to_string())).collect();
    bus.publish(old, Vec::new()).await.unwrap();
    let start = vec![(Partition::new(&name, 0), StartAt::Start)];
    let mut reader = bus.read(start).await.unwrap();
    let mut member = bus
        .subscribe(&unique("g"), std::slice::from_ref(&name))
        .await
        .unwrap();
    let mut read = 0;
    while read < 5 {
        read += reader.next().await.unwrap().len();
    }
    let mut delivered = 0;
    while delivered < 5 {
        if let ConsumerEvent::Records(records) = member.next().await.unwrap() {
            delivered += records.len();
        }
    }
    delete(&bus, &name).await;
    apply(&bus, &topic).await;
    connect()
        .publish(vec![placed(&name, "new".to_owned())], Vec::new())
        .await
        .unwrap();
    let stopped = async {
        loop {
            match reader.next().await {
                Err(error) if !error.may_pass() => break error,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(records) => panic!("{records:?} of a log that was never read before"),
            }
        }
    };
    let stopped = tokio::time::timeout(PATIENCE, stopped)
        .await
        .expect("it stops")
        .to_string();
    assert!(
        stopped.contains(&name) && stopped.contains("start this process again"),
        "{stopped}"
    );
    let stopped = async {
        loop {
            match member.next().await {
                Err(error) if !error.may_pass() => break error,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(ConsumerEvent::Records(records)) => {
                    panic!("{records:?} of a log that was never read before")
                }
                Ok(_) => {}
            }
        }
    };
    let stopped = tokio::time::timeout(PATIENCE, stopped)
        .await
        .expect("it stops")
        .to_string();
    assert!(stopped.contains(&name), "{stopped}");
    let behind = vec![(Partition::new(&name, 0), StartAt::Offset(5))];
    let refused = bus
        .read(behind)
        .await
        .err()
        .expect("the new one does not reach so far");
    assert!(!refused.may_pass(), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_committed_behind_the_end_is_stopped_with_the_way_out() {
    let bus = connect();
    let (name, group) = (unique("cut"), unique("g"));
    apply(&bus, &format!("name: {name}, partitions: 1")).await;
    let partition = Partition::new(&name, 0);
    let commit = Commit {
        group: group.clone(),
        partition,
        next: 500,
    };
    bus.publish(vec![placed(&name, "v".to_owned())], vec![commit])
        .await
        .unwrap();
    let mut member = bus.subscribe(&group, std::slice::from_ref(&name)).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, member.next())
        .await
        .expect("it is told");
    let said = told.expect_err("nothing is read again").to_string();
    for part in ["ends at offset 1", "has committed 500", "--reset-offsets", &group] {
        assert!(said.contains(part), "{said}");
    }
}
