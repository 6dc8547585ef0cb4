//! What all parts of the embedded log share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use relay_clock::Clock;
use relay_log::{AppendError, Batch, Log};
use tokio::sync::Semaphore;

use super::disk::Disk;
use super::group::Groups;
use super::health::Health;
use super::losses::Losses;
use super::notes::{self, Note};
use super::options::EmbeddedOptions;
use super::partition::{PartitionLog, TailBudget};
use super::slot::Slot;
use super::space::SpaceGauge;
use super::topic::TopicLog;
use crate::{BusError, Partition, Room};

/// Bytes that one permit of [`Shared::queue`] stands for.
pub(super) const QUEUE_UNIT: usize = 1024;

pub(super) struct Shared {
    pub options: EmbeddedOptions,
    pub clock: Clock,
    /// Locked shortly: whoever reads or syncs makes a plan under it, and carries it out outside.
    pub log: Mutex<Log<Disk>>,
    /// In an order that is the same in each run.
    pub topics: RwLock<BTreeMap<String, Arc<TopicLog>>>,
    pub committed: Mutex<HashMap<(String, Slot), i64>>,
    pub groups: Groups,
    pub tail: Arc<TailBudget>,
    pub health: Health,
    space: SpaceGauge,
    disk: Arc<Disk>,
    pub losses: Losses,
    /// Room for what is on its way to the writer.
    pub queue: Arc<Semaphore>,
    /// Whether all is done on the tasks of those who ask for it.
    pub inline: bool,
}

impl Shared {
    pub(super) fn new(
        log: Log<Disk>,
        folder: &str,
        options: EmbeddedOptions,
        clock: Clock,
        inline: bool,
    ) -> Self {
        let queue = Semaphore::new((options.queue_size.as_usize() / QUEUE_UNIT).max(1));
        Self {
            space: SpaceGauge::new(options.disk_reserve),
            disk: Arc::clone(log.storage()),
            tail: Arc::new(TailBudget::new(options.tail_size.as_usize(), clock.clone())),
            options,
            clock,
            log: Mutex::new(log),
            topics: RwLock::default(),
            committed: Mutex::default(),
            groups: Groups::default(),
            health: Health::new(folder),
            losses: Losses::default(),
            queue: Arc::new(queue),
            inline,
        }
    }

    pub(super) fn topic(&self, name: &str) -> Result<Arc<TopicLog>, BusError> {
        let topics = self.topics.read();
        topics
            .get(name)
            .cloned()
            .ok_or_else(|| BusError::UnknownTopic(name.to_owned()))
    }

    pub(super) fn partition(&self, partition: &Partition) -> Result<Arc<PartitionLog>, BusError> {
        let topic = self.topic(&partition.topic)?;
        topic.partition(partition.partition).ok_or_else(|| {
            BusError::Fatal(format!(
                "{} has no partition {}",
                partition.topic, partition.partition
            ))
        })
    }

    /// Every partition of every topic.
    pub(super) fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.topics
            .read()
            .values()
            .flat_map(|topic| topic.partitions())
            .collect()
    }

    /// The partitions of a topic; none if there is no such topic.
    pub(super) fn slots(&self, topic: &str) -> Vec<Slot> {
        let topics = self.topics.read();
        topics.get(topic).map_or_else(Vec::new, |topic| {
            topic.partitions().iter().map(|log| log.slot).collect()
        })
    }

    pub(super) fn committed(&self, group: &str, slot: Slot) -> Option<i64> {
        self.committed.lock().get(&(group.to_owned(), slot)).copied()
    }

    /// Takes the commits from the notes; after opening, and after a failed sync that lost some.
    pub(super) fn read_commits(&self, log: &Log<Disk>) {
        let commits = log
            .notes()
            .iter()
            .filter_map(|(name, value)| match notes::parse(name, value) {
                Some(Note::Commit { group, slot, next }) => Some(((group, slot), next)),
                _ => None,
            });
        *self.committed.lock() = commits.collect();
    }

    /// Appends notes alone, beside the writer.
    pub(super) fn note(&self, notes: Vec<(Bytes, Option<Bytes>)>) -> Result<(), AppendError> {
        let batch = Batch {
            records: Vec::new(),
            notes,
        };
        let now = self.clock.now().0;
        self.log.lock().append(&[batch], now).map(|_| ())
    }

    /// Does what may wait for the disk, beside the tasks of the runtime: `what` says what that is.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BusError> {
        if self.inline {
            return Ok(work());
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|error| BusError::Fatal(format!("{what}: {error}")))
    }

    /// Whether there is room for new work.
    pub(super) fn room(&self) -> Room {
        self.space.room(&*self.disk, self.clock.steady().0)
    }

    /// Ends everything that still waits.
    pub(super) fn close(&self) {
        self.health.close();
        self.queue.close();
        for partition in self.partitions() {
            partition.wake();
        }
        self.groups.wake_all();
    }
}
