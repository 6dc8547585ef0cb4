//! A log for tests that can be told to misbehave: the one fake bus. What lies under it is a real one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::topics::Manifest;
use crate::{
    Bus, BusError, Commit, Consumer, EmbeddedBus, EmbeddedOptions, OffsetRange, Outgoing, Partition,
    Position, Reader, Room, StartAt,
};

/// The brokers that the harness started.
///
/// # Panics
/// Without them: a test that needs Kafka never skips.
pub fn brokers() -> String {
    std::env::var("RELAY_KAFKA_BROKERS")
        .expect("RELAY_KAFKA_BROKERS is not set: run `make test`, which starts Kafka")
}

/// A name that no other run has: brokers keep what tests leave.
pub fn unique(test: &str) -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    format!("{test}-{since}")
}

/// Applies one topic, given as the manifest has it; what was done.
///
/// # Panics
/// If it cannot be applied.
pub async fn apply(bus: &dyn Bus, topic: &str) -> String {
    let manifest = Manifest::parse(&format!("pools: [default]\ntopics: [{{ {topic} }}]"));
    let applied = bus.apply(&manifest.expect("a manifest")).await;
    applied.expect("the brokers answer").remove(0)
}

/// What a [`FaultyBus`] does with what it is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mood {
    /// What the log under it does.
    #[default]
    Works,
    /// Answers nothing but that it is unavailable.
    Away,
    /// Refuses every publish as fatal.
    Broken,
    /// Has no room for new work; what is published all the same is taken.
    Short,
    /// Has no room, and refuses every publish as one to a full disk.
    Full,
    /// Refuses every publish as too large.
    RefusesSize,
    /// Takes no publish until the mood changes.
    Holds,
    /// Takes publishes and never acknowledges them.
    NeverAcknowledges,
}

/// A log with a [`Mood`] over another log. Keeps what was published through it.
pub struct FaultyBus {
    /// The log under it, which always works.
    pub log: Arc<dyn Bus>,
    mood: watch::Sender<Mood>,
    /// The mood concerns publishes to this topic only.
    only: Option<String>,
    refused: AtomicUsize,
    published: Mutex<Vec<Outgoing>>,
}

impl FaultyBus {
    /// Over `log`.
    pub fn over(log: Arc<dyn Bus>) -> Self {
        Self {
            log,
            mood: watch::Sender::default(),
            only: None,
            refused: AtomicUsize::new(0),
            published: Mutex::default(),
        }
    }

    /// Over an embedded log in `folder` with `topics` of one partition each.
    ///
    /// # Panics
    /// If the folder cannot hold a log.
    pub fn with_topics(folder: &Path, topics: &[&str]) -> Self {
        let lines = topics
            .iter()
            .map(|name| format!("  - {{ name: {name}, partitions: 1 }}\n"));
        let yaml = format!("pools: [default]\ntopics:\n{}", lines.collect::<String>());
        let manifest = Manifest::parse(&yaml).expect("a manifest of plain topics");
        let log = EmbeddedBus::open(
            folder,
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        );
        Self::over(Arc::new(log.expect("a folder of the test's own")))
    }

    /// Misbehaves only where something is published to `topic`.
    #[must_use]
    pub fn only_for(mut self, topic: &str) -> Self {
        self.only = Some(topic.to_owned());
        self
    }

    /// Changes its mood.
    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How many publishes it refused.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// Everything that it took, in order.
    pub fn published(&self) -> Vec<Outgoing> {
        self.published.lock().clone()
    }

    fn answers(&self) -> Result<(), BusError> {
        if *self.mood.borrow() == Mood::Away {
            return Err(BusError::Unavailable("it is away".to_owned()));
        }
        Ok(())
    }

    /// Whether a publish goes on to the log; waits while it is held.
    async fn takes(&self, records: &[Outgoing]) -> Result<(), BusError> {
        let concerned = |topic: &String| records.iter().any(|record| record.topic == *topic);
        if !self.only.as_ref().is_none_or(concerned) {
            return Ok(());
        }
        let mut moods = self.mood.subscribe();
        let mood = moods.wait_for(|mood| *mood != Mood::Holds).await;
        match mood.map_or(Mood::Works, |mood| *mood) {
            Mood::Works | Mood::Short | Mood::Holds | Mood::NeverAcknowledges => Ok(()),
            Mood::Full => Err(BusError::Full("no space left".to_owned())),
            Mood::Away => self.answers(),
            Mood::Broken => Err(BusError::Fatal("it is broken".to_owned())),
            Mood::RefusesSize => Err(BusError::TooLarge {
                topic: records
                    .first()
                    .map(|record| record.topic.clone())
                    .unwrap_or_default(),
                size: 2,
                limit: 1,
            }),
        }
    }
}

#[async_trait]
impl Bus for FaultyBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        if let Err(refusal) = self.takes(&records).await {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(refusal);
        }
        self.published.lock().extend(records.iter().cloned());
        let positions = self.log.publish(records, commits).await?;
        if *self.mood.borrow() == Mood::NeverAcknowledges {
            std::future::pending::<()>().await;
        }
        Ok(positions)
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        self.answers()?;
        self.log.subscribe(group, topics).await
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        self.answers()?;
        self.log.read(from).await
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.answers()?;
        self.log.partitions(topic).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        self.log.range(partition).await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.log.committed(group, partition).await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        self.log.apply(manifest).await
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.answers()?;
        self.log.probe().await
    }

    fn room(&self) -> Room {
        match *self.mood.borrow() {
            Mood::Short | Mood::Full => Room::Reserved { free: 0, reserve: 1 },
            _ => self.log.room(),
        }
    }
}
