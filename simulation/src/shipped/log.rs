//! The log as one process of the simulation sees it: what goes over it leaves a line.

use std::collections::BTreeMap;
use std::fmt::{Arguments, Write as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, BusError, Commit, Consumer, ConsumerEvent, OffsetRange, Outgoing, Partition, Position, Reader,
    Record, Room, StartAt,
};

use super::trace::Trace;

/// Who calls, and where that is noted.
#[derive(Clone)]
pub(crate) struct Caller {
    pub name: String,
    pub trace: Trace,
}

impl Caller {
    /// It does, or meets, `what`.
    pub fn line(&self, what: Arguments<'_>) {
        self.trace.line(&self.name, what);
    }
}

/// See the module.
pub(crate) struct TracedBus {
    inner: Arc<dyn Bus>,
    caller: Caller,
}

impl TracedBus {
    pub fn new(inner: Arc<dyn Bus>, caller: Caller) -> Self {
        Self { inner, caller }
    }
}

#[async_trait]
impl Bus for TracedBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        let what = told(&records, &commits);
        let result = self.inner.publish(records, commits).await;
        match &result {
            Ok(places) => self
                .caller
                .line(format_args!("publishes{what} at {}", positions(places.iter()))),
            Err(error) => self.caller.line(format_args!("publishes{what} in vain: {error}")),
        }
        result
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        self.caller.line(format_args!("joins {group}"));
        let inner = self.inner.subscribe(group, topics).await?;
        Ok(Box::new(TracedConsumer {
            inner,
            caller: self.caller.clone(),
            group: group.to_owned(),
        }))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        self.caller
            .line(format_args!("opens a reader at {}", starts(&from)));
        let inner = self.inner.read(from).await?;
        Ok(Box::new(TracedReader {
            inner,
            caller: self.caller.clone(),
        }))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.inner.partitions(topic).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        self.inner.range(partition).await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.inner.committed(group, partition).await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        self.inner.apply(manifest).await
    }

    fn looks_every(&self) -> Duration {
        self.inner.looks_every()
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.inner.probe().await
    }

    fn room(&self) -> Room {
        self.inner.room()
    }

    fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.inner.register(registry)
    }
}

struct TracedConsumer {
    inner: Box<dyn Consumer>,
    caller: Caller,
    group: String,
}

#[async_trait]
impl Consumer for TracedConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        let event = self.inner.next().await;
        let group = &self.group;
        match &event {
            Ok(ConsumerEvent::Records(records)) => {
                self.caller
                    .line(format_args!("{group} gets {}", positions(places(records))));
            }
            Ok(ConsumerEvent::Assigned(partitions)) => {
                self.caller
                    .line(format_args!("{group} is assigned {}", names(partitions)));
            }
            Ok(ConsumerEvent::Revoked(partitions)) => {
                self.caller
                    .line(format_args!("{group} is revoked {}", names(partitions)));
            }
            Err(error) => self.caller.line(format_args!("{group} fails: {error}")),
        }
        event
    }

    fn places(&self) -> BTreeMap<Partition, i64> {
        self.inner.places()
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.inner.pause(partitions).await
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.inner.resume(partitions).await
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), BusError> {
        let what = told(&[], &commits);
        self.caller.line(format_args!("commits{what}"));
        self.inner.commit(commits).await
    }

    async fn leave(self: Box<Self>) -> Result<(), BusError> {
        self.caller.line(format_args!("leaves {}", self.group));
        self.inner.leave().await
    }
}

struct TracedReader {
    inner: Box<dyn Reader>,
    caller: Caller,
}

#[async_trait]
impl Reader for TracedReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        let records = self.inner.next().await?;
        self.caller
            .line(format_args!("reads {}", positions(places(&records))));
        Ok(records)
    }
}

fn places(records: &[Record]) -> impl Iterator<Item = &Position> {
    records.iter().map(|record| &record.position)
}

fn positions<'a>(places: impl Iterator<Item = &'a Position>) -> String {
    let mut text = String::new();
    for Position { partition, offset } in places {
        let _ = write!(text, " {}-{}@{offset}", &*partition.topic, partition.partition);
    }
    text
}

fn names(partitions: &[Partition]) -> String {
    let mut text = String::new();
    for Partition { topic, partition } in partitions {
        let _ = write!(text, " {}-{partition}", &**topic);
    }
    text
}

fn starts(from: &[(Partition, StartAt)]) -> String {
    let mut text = String::new();
    for (Partition { topic, partition }, start) in from {
        let _ = write!(text, " {}-{partition}:{start:?}", &**topic);
    }
    text
}

/// What is published, by topic, key and the checksum of all that it says.
fn told(records: &[Outgoing], commits: &[Commit]) -> String {
    let mut text = String::new();
    for record in records {
        let key = record.key.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            " {}[{}]#{:08x}",
            &*record.topic,
            String::from_utf8_lossy(key),
            checksum(record)
        );
    }
    for commit in commits {
        let Partition { topic, partition } = &commit.partition;
        let _ = write!(text, " {}:{}-{partition}={}", commit.group, &**topic, commit.next);
    }
    text
}

fn checksum(record: &Outgoing) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for (name, value) in record.headers.iter() {
        hasher.update(name.as_bytes());
        hasher.update(value);
    }
    hasher.update(record.value.as_deref().unwrap_or_default());
    hasher.finalize()
}
