//! The log as one process of the simulation sees it: each call takes its time, leaves a line, and comes to nothing once the process
//! is dead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use relay_bus::topics::Manifest;
use relay_bus::{
    Bus, BusError, Commit, Consumer, ConsumerEvent, OffsetRange, Outgoing, Partition, Position, Reader,
    Record, Room, StartAt,
};
use relay_clock::Life;
use relay_runner::Chance;
use tokio::sync::Mutex;

use super::trace::Trace;

/// Longest time that a call is on its way, milliseconds.
const LONGEST_MS: u32 = 3;

/// Who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub name: String,
    pub life: Arc<Life>,
    pub trace: Trace,
    pub chance: Chance,
}

impl Caller {
    /// On the way there or back.
    pub async fn travel(&self) {
        self.life.act().await;
        let ms = self.chance.draw::<u32>() % (LONGEST_MS + 1);
        tokio::time::sleep(Duration::from_millis(ms.into())).await;
        self.life.act().await;
    }

    fn says(&self, what: std::fmt::Arguments<'_>) {
        self.trace.line(&self.name, what);
    }
}

/// See the module.
pub(crate) struct TracedBus {
    inner: Arc<dyn Bus>,
    caller: Caller,
    /// What one process publishes lands in the order in which it was given.
    landing: Mutex<()>,
}

impl TracedBus {
    pub fn new(inner: Arc<dyn Bus>, caller: Caller) -> Self {
        Self {
            inner,
            caller,
            landing: Mutex::new(()),
        }
    }
}

#[async_trait]
impl Bus for TracedBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        let landing = self.landing.lock().await;
        self.caller.travel().await;
        let what = told(&records, &commits);
        drop(landing);
        let result = self.inner.publish(records, commits).await;
        match &result {
            Ok(places) => self
                .caller
                .says(format_args!("publishes{what} at {}", positions(places.iter()))),
            Err(error) => self.caller.says(format_args!("publishes{what} in vain: {error}")),
        }
        self.caller.travel().await;
        result
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        self.caller.travel().await;
        self.caller.says(format_args!("joins {group}"));
        let inner = self.inner.subscribe(group, topics).await?;
        Ok(Box::new(TracedConsumer {
            inner: Some(inner),
            caller: self.caller.clone(),
            group: group.to_owned(),
        }))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        self.caller.travel().await;
        self.caller
            .says(format_args!("opens a reader at {}", starts(&from)));
        let inner = self.inner.read(from).await?;
        Ok(Box::new(TracedReader {
            inner,
            caller: self.caller.clone(),
        }))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.caller.travel().await;
        self.inner.partitions(topic).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        self.caller.travel().await;
        self.inner.range(partition).await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.caller.travel().await;
        self.inner.committed(group, partition).await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        self.caller.travel().await;
        self.inner.apply(manifest).await
    }

    fn looks_every(&self) -> Duration {
        self.inner.looks_every()
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.caller.travel().await;
        self.inner.probe().await
    }

    fn room(&self) -> Room {
        self.inner.room()
    }
}

struct TracedConsumer {
    /// Nothing once the process is dead: a member that is gone holds no partition.
    inner: Option<Box<dyn Consumer>>,
    caller: Caller,
    group: String,
}

impl TracedConsumer {
    fn member(&mut self) -> &mut Box<dyn Consumer> {
        self.inner.as_mut().expect("the process lives")
    }
}

#[async_trait]
impl Consumer for TracedConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, BusError> {
        let life = Arc::clone(&self.caller.life);
        life.act().await;
        let event = tokio::select! {
            biased;
            () = life.died() => None,
            event = self.member().next() => Some(event),
        };
        let Some(event) = event else {
            self.inner = None;
            return std::future::pending().await;
        };
        let group = &self.group;
        match &event {
            Ok(ConsumerEvent::Records(records)) => {
                self.caller
                    .says(format_args!("{group} gets {}", positions(places(records))));
            }
            Ok(ConsumerEvent::Assigned(partitions)) => {
                self.caller
                    .says(format_args!("{group} is assigned {}", names(partitions)));
            }
            Ok(ConsumerEvent::Revoked(partitions)) => {
                self.caller
                    .says(format_args!("{group} is revoked {}", names(partitions)));
            }
            Err(error) => self.caller.says(format_args!("{group} fails: {error}")),
        }
        event
    }

    fn places(&self) -> BTreeMap<Partition, i64> {
        self.inner
            .as_ref()
            .map_or_else(BTreeMap::new, |inner| inner.places())
    }

    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.caller.life.act().await;
        self.member().pause(partitions).await
    }

    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError> {
        self.caller.life.act().await;
        self.member().resume(partitions).await
    }

    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), BusError> {
        self.caller.travel().await;
        let what = told(&[], &commits);
        self.caller.says(format_args!("commits{what}"));
        self.member().commit(commits).await
    }

    async fn leave(mut self: Box<Self>) -> Result<(), BusError> {
        self.caller.travel().await;
        self.caller.says(format_args!("leaves {}", self.group));
        match self.inner.take() {
            Some(inner) => inner.leave().await,
            None => Ok(()),
        }
    }
}

struct TracedReader {
    inner: Box<dyn Reader>,
    caller: Caller,
}

#[async_trait]
impl Reader for TracedReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        self.caller.life.act().await;
        let records = self.inner.next().await?;
        self.caller
            .says(format_args!("reads {}", positions(places(&records))));
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
