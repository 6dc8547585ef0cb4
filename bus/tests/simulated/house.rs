//! What the tests of the simulated log share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use relay_bus::simulated::{Column, Faults, ProcessBus, SimulatedLog};
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, Commit, Consumer, ConsumerEvent, EmbeddedOptions, Headers, Outgoing, Partition, Record, StartAt,
};
use relay_clock::{Clock, Life, Passing};
use relay_schemas::TimestampMs;
use tokio::time::Instant;

const TOPICS: &str = "
pools: [default]
topics:
  - { name: safe, partitions: 2, on_disk: true }
  - { name: fast, partitions: 2 }
";

pub const SESSION: Duration = Duration::from_secs(6);
pub const BROKERS: Column = Column::Brokers { session: SESSION };
pub const COLUMNS: [Column; 2] = [Column::InProcess, BROKERS];

struct Paused(Instant);

impl Passing for Paused {
    fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A log that begins now.
pub fn log(seed: u64) -> SimulatedLog {
    let clock = Clock::driven(TimestampMs(1_700_000_000_000), Paused(Instant::now()));
    let manifest = Manifest::parse(TOPICS).unwrap();
    SimulatedLog::open(seed, &manifest, EmbeddedOptions::default(), &clock).unwrap()
}

/// A process that lives.
pub struct Process {
    pub bus: Arc<ProcessBus>,
    pub life: Arc<Life>,
}

pub fn process(log: &SimulatedLog, name: &str, column: Column) -> Process {
    let life = Arc::new(Life::default());
    let bus = Arc::new(log.process(name, Arc::clone(&life), column));
    Process { bus, life }
}

/// Delays of so many milliseconds at most, and nothing else.
pub fn delays(ms: u64) -> Faults {
    Faults {
        delay: Duration::from_millis(ms),
        ..Faults::default()
    }
}

pub fn placed(topic: &str, partition: i32, value: impl Into<Bytes>) -> Outgoing {
    Outgoing::to_partition(
        &Partition::new(topic, partition),
        Headers::default(),
        value.into(),
    )
}

pub fn commit(partition: i32, next: i64) -> Vec<Commit> {
    vec![Commit {
        group: "g".to_owned(),
        partition: Partition::new("fast", partition),
        next,
    }]
}

/// Publishes "0", "1", … to a partition of `fast`.
pub async fn fill(bus: &ProcessBus, partition: i32, count: usize) {
    for n in 0..count {
        bus.publish(vec![placed("fast", partition, n.to_string())], Vec::new())
            .await
            .unwrap();
    }
}

pub fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

/// What a partition holds, by the word of a process that nothing hinders.
pub async fn held(log: &SimulatedLog, topic: &str, partition: i32) -> Vec<String> {
    log.be(Faults::default());
    let bus = log.process("a witness", Arc::default(), BROKERS);
    let partition = Partition::new(topic, partition);
    let high = bus.range(&partition).await.unwrap().high;
    let mut found: Vec<Record> = Vec::new();
    let mut reader = bus.read(vec![(partition, StartAt::Start)]).await.unwrap();
    // Offsets of what a disk lost stay empty.
    while high > found.last().map_or(0, |last| last.position.offset + 1) {
        let records = tokio::time::timeout(Duration::from_secs(60), reader.next()).await;
        found.extend(records.expect("what it holds can be read").unwrap());
    }
    found.iter().map(text).collect()
}

/// A member of the group `g`, which reads `fast`.
pub struct Member {
    pub consumer: Box<dyn Consumer>,
    pub owned: Vec<i32>,
    pub read: Vec<String>,
    /// What it was told, a word an event.
    pub told: Vec<&'static str>,
}

impl Member {
    pub async fn join(process: &Process) -> Self {
        let consumer = process.bus.subscribe("g", &["fast".to_owned()]).await.unwrap();
        Self {
            consumer,
            owned: Vec::new(),
            read: Vec::new(),
            told: Vec::new(),
        }
    }

    pub async fn step(&mut self) {
        match self.consumer.next().await.unwrap() {
            ConsumerEvent::Assigned(partitions) => {
                self.told.push("assigned");
                self.owned
                    .extend(partitions.iter().map(|partition| partition.partition));
                self.owned.sort_unstable();
            }
            ConsumerEvent::Revoked(partitions) => {
                self.told.push("revoked");
                let is_gone = |number: &i32| partitions.iter().any(|gone| gone.partition == *number);
                self.owned.retain(|number| !is_gone(number));
            }
            ConsumerEvent::Records(records) => self.read.extend(records.iter().map(text)),
        }
    }

    /// Follows events for so long.
    pub async fn during(&mut self, time: Duration) {
        let follow = async {
            loop {
                self.step().await;
            }
        };
        let _ = tokio::time::timeout(time, follow).await;
    }
}
