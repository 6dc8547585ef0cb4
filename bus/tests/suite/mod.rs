//! The contract's cases, over any bus.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub mod commits;
pub mod groups;
pub mod publishing;
pub mod replay;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use relay_bus::simulated::SimulatedLog;
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, Consumer, ConsumerEvent, EmbeddedBus, EmbeddedOptions, Headers, KafkaBus, KafkaOptions, Outgoing,
    Partition, Reader, Record,
};

/// Longer than any takeover (Kafka's smallest session timeout is 6 s); reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(40);

/// One implementation, with names that no other test uses.
pub struct Column {
    pub bus: Arc<dyn Bus>,
    name: String,
    _folder: Option<tempfile::TempDir>,
}

impl Column {
    pub fn embedded(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nothing = manifest("[]");
        let bus = EmbeddedBus::open(
            folder.path(),
            &nothing,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap();
        Self {
            bus: Arc::new(bus),
            name: test.to_owned(),
            _folder: Some(folder),
        }
    }

    pub fn kafka(test: &str) -> Self {
        let brokers = std::env::var("RELAY_KAFKA_BROKERS")
            .expect("RELAY_KAFKA_BROKERS is not set: run `make test`, which starts Kafka");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let short: String = test.chars().take(40).collect();
        Self {
            bus: Arc::new(
                KafkaBus::connect(KafkaOptions::new(brokers), &relay_clock::Clock::system()).unwrap(),
            ),
            name: format!("{short}-{since}"),
            _folder: None,
        }
    }

    /// With nothing that goes wrong.
    pub fn simulated(test: &str, column: relay_bus::simulated::Column) -> Self {
        let clock = relay_clock::Clock::system();
        let log = SimulatedLog::open(1, &manifest("[]"), EmbeddedOptions::default(), &clock).unwrap();
        Self {
            bus: Arc::new(log.process("the process", Arc::default(), column)),
            name: test.to_owned(),
            _folder: None,
        }
    }

    /// A topic of this test.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    pub fn group(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Makes one topic and returns its name.
    pub async fn make(&self, name: &str, partitions: i32) -> String {
        let topic = self.topic(name);
        let yaml = format!("[{{ name: {topic}, partitions: {partitions}, max_record: 64KiB }}]");
        self.bus.apply(&manifest(&yaml)).await.unwrap();
        topic
    }
}

pub fn manifest(topics: &str) -> Manifest {
    Manifest::parse(&format!("pools: [default]\ntopics: {topics}\n")).unwrap()
}

/// A record whose partition follows from its key.
pub fn keyed(topic: &str, key: &str, value: &str) -> Outgoing {
    Outgoing::keyed(
        topic,
        key.to_owned(),
        Headers::default(),
        Bytes::from(value.to_owned()),
    )
}

/// A record for one partition.
pub fn placed(topic: &str, partition: i32, value: &str) -> Outgoing {
    let partition = Partition::new(topic, partition);
    Outgoing::to_partition(&partition, Headers::default(), Bytes::from(value.to_owned()))
}

pub fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// The consumer's next event.
pub async fn event(consumer: &mut Box<dyn Consumer>) -> ConsumerEvent {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("an event in time").unwrap()
}

/// Follows events until `count` records have come.
pub async fn records(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Record> {
    let mut found = Vec::new();
    while found.len() < count {
        if let ConsumerEvent::Records(records) = event(consumer).await {
            assert!(!records.is_empty(), "an event without records");
            found.extend(records);
        }
    }
    found
}

/// A consumer, and what it has been told so far.
pub struct Member {
    pub consumer: Box<dyn Consumer>,
    pub owned: Vec<Partition>,
}

impl Member {
    pub async fn join(column: &Column, group: &str, topic: &str) -> Self {
        let consumer = column.bus.subscribe(group, &[topic.to_owned()]).await.unwrap();
        Self {
            consumer,
            owned: Vec::new(),
        }
    }

    fn follow(&mut self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::Assigned(partitions) => self.owned.extend(partitions),
            ConsumerEvent::Revoked(partitions) => {
                self.owned.retain(|partition| !partitions.contains(partition));
            }
            ConsumerEvent::Records(records) => panic!("nothing was published yet: {records:?}"),
        }
    }

    /// Follows events until this member owns `count` partitions.
    pub async fn owns(&mut self, count: usize) {
        while self.owned.len() != count {
            let event = event(&mut self.consumer).await;
            self.follow(event);
        }
    }
}

/// Follows both members until each owns `each` partitions. Both go on listening: a handover needs both.
pub async fn share(first: &mut Member, second: &mut Member, each: usize) {
    while first.owned.len() != each || second.owned.len() != each {
        tokio::select! {
            event = event(&mut first.consumer) => first.follow(event),
            event = event(&mut second.consumer) => second.follow(event),
        }
    }
}

/// Waits until the group's commit is what is expected; on Kafka commits travel a moment behind their publish.
pub async fn committed(column: &Column, group: &str, partition: &Partition, expected: i64) {
    let told = async {
        while column.bus.committed(group, partition).await.unwrap() != Some(expected) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    assert!(
        told.is_ok(),
        "{group} never had {expected} committed in {partition:?}"
    );
}

/// Reads `count` records.
pub async fn read(reader: &mut Box<dyn Reader>, count: usize) -> Vec<Record> {
    let mut found = Vec::new();
    while found.len() < count {
        let records = tokio::time::timeout(PATIENCE, reader.next())
            .await
            .expect("records in time")
            .unwrap();
        assert!(!records.is_empty(), "a read without records");
        found.extend(records);
    }
    found
}
