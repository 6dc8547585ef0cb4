//! A log for tests that can be told to misbehave: the one fake bus. What lies under it is a real one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::sync::watch;

use crate::topics::Manifest;
use crate::{
    Bus, BusError, Commit, Consumer, EmbeddedBus, EmbeddedOptions, OffsetRange, Outgoing, Partition,
    Position, Reader, Record, Room, StartAt,
};

/// How often a [`FaultyBus`] has itself looked at.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// Far above what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Deletes a topic of the brokers, as somebody does with another tool, and waits until it is gone.
///
/// # Panics
/// If it cannot be deleted.
pub async fn delete(bus: &dyn Bus, topic: &str) {
    let config: rdkafka::ClientConfig = [("bootstrap.servers".to_owned(), brokers())]
        .into_iter()
        .collect();
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a client");
    let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await;
    let deleted = deleted.expect("the brokers answer");
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let gone = async {
        while !matches!(bus.partitions(topic).await, Err(BusError::UnknownTopic(_))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    gone.expect("it is gone in time");
}

/// A log in `folder` that holds `records`, those with the numbers in `damaged` damaged on the disk.
///
/// # Panics
/// If the folder cannot hold a log.
pub async fn with_damaged(
    folder: &Path,
    manifest: &Manifest,
    records: &[Outgoing],
    damaged: &[usize],
) -> EmbeddedBus {
    // Whoever still has a thread in a log that was dropped lets go of the folder a moment later.
    let open = || async {
        let clock = relay_clock::Clock::system();
        let open = || EmbeddedBus::open(folder, manifest, EmbeddedOptions::default(), &clock);
        let began = clock.instant();
        loop {
            match open() {
                Err(BusError::Unavailable(_)) if clock.since(began) < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                log => return log.expect("a folder of the test's own"),
            }
        }
    };
    let log = open().await;
    let taken = log.publish(records.to_vec(), Vec::new()).await;
    taken.expect("the log takes them");
    drop(log);
    for number in damaged {
        turn_a_bit(folder, records[*number].value.as_deref().expect("a value"));
    }
    open().await
}

/// Turns a bit in the middle of `value`, which a closed log in `folder` holds in its first segment.
///
/// # Panics
/// If it does not.
pub fn turn_a_bit(folder: &Path, value: &[u8]) {
    let segment = folder.join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(value.len()).position(|window| window == value);
    bytes[at.expect("the log holds it") + value.len() / 2] ^= 4;
    std::fs::write(&segment, bytes).expect("a segment that can be written");
}

/// The first `count` records of `topic` that can be read, whichever partition holds them.
///
/// # Panics
/// If they do not come in time.
pub async fn first<T: relay_schemas::Record>(bus: &dyn Bus, topic: &str, count: usize) -> Vec<T> {
    let partitions = 0..bus.partitions(topic).await.expect("the topic is there");
    let from = partitions.map(|number| (Partition::new(topic, number), StartAt::Start));
    let mut reader = bus.read(from.collect()).await.expect("the log is read");
    let reading = async {
        let mut found = Vec::new();
        while found.len() < count {
            let records = reader.next().await.expect("the log is read");
            let registry = relay_schemas::Registry::default();
            found.extend(
                records
                    .iter()
                    .filter_map(|record| crate::decode(&registry, record).ok()),
            );
        }
        found
    };
    let found = tokio::time::timeout(PATIENCE, reading).await;
    found.unwrap_or_else(|_| panic!("{count} records of {topic} never came"))
}

/// Where the first `count` records lay that became dead letters.
pub async fn buried(bus: &dyn Bus, count: usize) -> Vec<Position> {
    let letters: Vec<relay_schemas::DeadLetter> = first(bus, crate::topics::DEAD_LETTERS, count).await;
    let place = |letter: relay_schemas::DeadLetter| Position {
        partition: Partition::new(letter.source_topic, letter.source_partition),
        offset: letter.source_offset,
    };
    letters.into_iter().map(place).collect()
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
    /// Its readers bring nothing, for ever: another mood helps only those that are opened under it.
    Deaf,
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
    /// So many records more than there are, by its word, in each partition of a topic.
    promises: Mutex<Option<(String, i64)>>,
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
            promises: Mutex::default(),
        }
    }

    /// From now on says of each partition of `topic` that it holds so many records more than it does, as if retention let them
    /// go between this answer and the reading; or fewer, as if the topic had been made anew.
    pub fn promise(&self, topic: &str, more: i64) {
        *self.promises.lock() = Some((topic.to_owned(), more));
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
            Mood::Works | Mood::Short | Mood::Holds | Mood::NeverAcknowledges | Mood::Deaf => Ok(()),
            Mood::Full => Err(BusError::Full("no space left".to_owned())),
            Mood::Away => self.answers(),
            Mood::Broken => Err(BusError::Fatal("it is broken".to_owned())),
            Mood::RefusesSize => Err(BusError::TooLarge {
                topic: records
                    .first()
                    .map(|record| record.topic.to_string())
                    .unwrap_or_default(),
                size: 2,
                limit: 1,
            }),
        }
    }
}

async fn is(expected: Mood, moods: &mut watch::Receiver<Mood>) {
    let _ = moods.wait_for(|mood| *mood == expected).await;
}

struct FaultyReader {
    reader: Box<dyn Reader>,
    moods: watch::Receiver<Mood>,
}

#[async_trait]
impl Reader for FaultyReader {
    async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        tokio::select! {
            biased;
            () = is(Mood::Deaf, &mut self.moods) => std::future::pending().await,
            records = self.reader.next() => records,
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
        Ok(Box::new(FaultyReader {
            reader: self.log.read(from).await?,
            moods: self.mood.subscribe(),
        }))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.answers()?;
        self.log.partitions(topic).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        let mut held = self.log.range(partition).await?;
        if let Some((_, more)) = self
            .promises
            .lock()
            .as_ref()
            .filter(|(topic, _)| partition.topic == *topic)
        {
            held.high += more;
        }
        Ok(held)
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.log.committed(group, partition).await
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        self.log.apply(manifest).await
    }

    fn looks_every(&self) -> Duration {
        LOOKS_EVERY
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
