//! What only Apache Kafka has. The rest is in the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use relay_bus::testing::{apply, brokers, unique};
use relay_bus::{Bus, BusError, Headers, KafkaBus, KafkaOptions, Outgoing, Partition, StartAt};

#[tokio::test(flavor = "multi_thread")]
async fn applying_says_what_it_made_changed_and_left() {
    let bus = KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap();
    let name = unique("apply");
    let made = apply(&bus, &format!("name: {name}, partitions: 2, retention: 1h")).await;
    assert_eq!(made, format!("{name}: created, 2 partitions"));
    let left = apply(&bus, &format!("name: {name}, partitions: 2, retention: 1h")).await;
    assert_eq!(left, format!("{name}: as it should be"));
    let changed = apply(&bus, &format!("name: {name}, partitions: 3, retention: 2h")).await;
    assert_eq!(
        changed,
        format!("{name}: 3 partitions instead of 2, retention.ms=7200000")
    );
    // What the first change set is still set after the second.
    let changed = apply(
        &bus,
        &format!("name: {name}, partitions: 3, retention: 2h, compacted: true"),
    )
    .await;
    assert_eq!(changed, format!("{name}: cleanup.policy=compact"));
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
    let record = Outgoing::keyed("t", "k", Headers::default(), "v".into());
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
