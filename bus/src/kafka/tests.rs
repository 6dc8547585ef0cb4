//! Clients that bring nothing though the log holds more, as librdkafka's sometimes do after an outage: here they are paused behind
//! our back.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext as _, Rebalance};
use relay_clock::Clock;

use super::config;
use super::consumer::{KafkaConsumer, Seat};
use super::context::Membership;
use super::reader::KafkaReader;
use super::{KafkaBus, KafkaOptions};
use crate::testing::{apply, brokers, unique};
use crate::{Bus, BusError, Consumer, ConsumerEvent, Headers, Outgoing, Partition, Reader};

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect() -> KafkaBus {
    let options = KafkaOptions {
        replace_after: Duration::from_millis(500),
        ..KafkaOptions::new(brokers())
    };
    KafkaBus::connect(options, &Clock::system()).expect("clients")
}

async fn put(bus: &KafkaBus, topic: &str) {
    let record = Outgoing::to_partition(&Partition::new(topic, 0), Headers::default(), "v");
    bus.publish(vec![record], Vec::new()).await.expect("it is taken");
}

fn all(topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_client_brings_nothing_reads_on_with_another_one() {
    let (bus, topic) = (connect(), unique("silent-reader"));
    apply(&bus, &format!("name: {topic}, partitions: 1")).await;
    put(&bus, &topic).await;
    let from = [(Partition::new(&topic, 0), 0)].into();
    let opened = KafkaReader::open(&bus.options, from, bus.watch.clone());
    let mut reader = opened.expect("a reader");
    let reading = async {
        assert_eq!(reader.next().await.expect("the first one").len(), 1);
        reader.client().pause(&all(&topic)).expect("it is paused");
        put(&bus, &topic).await;
        let said = reader
            .next()
            .await
            .expect_err("it says that it was silent")
            .to_string();
        assert!(said.contains("is read to 1 and reaches further"), "{said}");
        let next = reader.next().await.expect("the next one");
        assert_eq!((next.len(), next[0].position.offset), (1, 1));
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("in time");
}

fn join(bus: &KafkaBus, topic: &str) -> KafkaConsumer {
    let seat = Seat {
        options: bus.options.clone(),
        groups: Arc::clone(&bus.groups),
        group: format!("{topic}.g"),
        topics: vec![topic.to_owned()],
        watch: bus.watch.clone(),
    };
    KafkaConsumer::join(seat).expect("it joins")
}

/// What it is told until records come, and how many there are; what it is told first of being silent holds `reason`.
async fn until_records(member: &mut KafkaConsumer, reason: &str) -> (Vec<&'static str>, usize) {
    let mut told = Vec::new();
    let following = async {
        loop {
            match member.next().await {
                Ok(ConsumerEvent::Records(records)) => return records.len(),
                Ok(ConsumerEvent::Assigned(_)) => told.push("assigned"),
                Ok(ConsumerEvent::Revoked(_)) => told.push("revoked"),
                Err(BusError::Unavailable(said)) => {
                    assert!(told.contains(&"silent") || said.contains(reason), "{said}");
                    told.push("silent");
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let records = tokio::time::timeout(PATIENCE, following).await;
    let records = records.expect("in time");
    (told, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_client_brings_nothing_takes_its_place_anew() {
    let (bus, topic) = (connect(), unique("silent-member"));
    apply(&bus, &format!("name: {topic}, partitions: 1")).await;
    let mut member = join(&bus, &topic);
    while !matches!(member.next().await, Ok(ConsumerEvent::Assigned(_))) {}
    member.member().pause(&all(&topic)).expect("it is paused");
    put(&bus, &topic).await;
    let (told, records) = until_records(&mut member, "reaches further").await;
    assert_eq!((&told[..2], records), (&["silent", "revoked"][..], 1));
    assert_eq!(told.last(), Some(&"assigned"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_all_and_is_given_nothing_takes_its_place_anew() {
    let (bus, topic) = (connect(), unique("bereft-member"));
    apply(&bus, &format!("name: {topic}, partitions: 1")).await;
    let mut member = join(&bus, &topic);
    while !matches!(member.next().await, Ok(ConsumerEvent::Assigned(_))) {}
    // The client takes the partition away, and never comes to an end with it.
    let client: Result<BaseConsumer<Membership>, _> =
        config::member(&bus.options, "another").create_with_context(Membership::default());
    member.member().pause(&all(&topic)).expect("it is paused");
    let lost = all(&topic);
    let context = member.member().context();
    context.pre_rebalance(&client.expect("a client"), &Rebalance::Revoke(&lost));
    put(&bus, &topic).await;
    let (told, records) = until_records(&mut member, "gives this member nothing").await;
    assert_eq!((&told[..2], records), (&["revoked", "silent"][..], 1));
    assert_eq!(told.last(), Some(&"assigned"));
}
