//! What all parts of the embedded log share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use fjall::{AbstractTree, Database, Keyspace};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, oneshot};

use super::group::Groups;
use super::keys::{self, Slot};
use super::options::EmbeddedOptions;
use super::partition::{ColdRead, PartitionLog, Space, TailBudget};
use super::topic::TopicLog;
use super::writer::{Append, Job, Tidy};
use super::{frame, prepare};
use crate::{BusError, Commit, Outgoing, Partition, Position, Record};

/// How many log keyspaces there are; [`keys`] says why.
pub(super) const LOGS: usize = 2;

pub(super) struct Shared {
    pub path: PathBuf,
    pub options: EmbeddedOptions,
    pub db: Database,
    pub logs: [Keyspace; LOGS],
    pub kept: Keyspace,
    /// The epoch that the writer fills, for each log keyspace.
    pub epochs: [AtomicU32; LOGS],
    pub topics: RwLock<HashMap<String, Arc<TopicLog>>>,
    pub committed: Mutex<HashMap<(String, Slot), i64>>,
    pub groups: Groups,
    pub tail: Arc<TailBudget>,
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    failed: OnceLock<String>,
}

/// Everything that [`Shared`] is made of at opening.
pub(super) struct Opened {
    pub path: PathBuf,
    pub options: EmbeddedOptions,
    pub db: Database,
    pub logs: [Keyspace; LOGS],
    pub kept: Keyspace,
    pub tail: Arc<TailBudget>,
}

const ROOM_UNIT: usize = 1024;

impl Shared {
    pub(super) fn new(opened: Opened, jobs: mpsc::Sender<Job>) -> Self {
        let room = Semaphore::new((opened.options.queue_size.as_usize() / ROOM_UNIT).max(1));
        Self {
            path: opened.path,
            db: opened.db,
            logs: opened.logs,
            kept: opened.kept,
            epochs: [AtomicU32::new(0), AtomicU32::new(0)],
            topics: RwLock::default(),
            committed: Mutex::default(),
            groups: Groups::default(),
            tail: opened.tail,
            jobs,
            room: Arc::new(room),
            failed: OnceLock::new(),
            options: opened.options,
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

    pub(super) fn committed(&self, group: &str, slot: Slot) -> Option<i64> {
        self.committed.lock().get(&(group.to_owned(), slot)).copied()
    }

    /// Sends records and commits to the writer and waits for its answer.
    pub(super) async fn append(
        &self,
        records: Vec<Outgoing>,
        commits: Vec<Commit>,
    ) -> Result<Vec<Position>, BusError> {
        let prepared = prepare::records(self, records)?;
        let commits = prepare::commits(self, commits)?;
        let bytes: usize = prepared.iter().map(|record| record.body.len()).sum();
        let units = bytes
            .div_ceil(ROOM_UNIT)
            .clamp(1, (self.options.queue_size.as_usize() / ROOM_UNIT).max(1));
        let room = Arc::clone(&self.room).acquire_many_owned(units as u32).await;
        let Ok(room) = room else {
            return Err(self.why_failed());
        };
        let (answer, answered) = oneshot::channel();
        self.send(Job::Append(Append {
            records: prepared,
            commits,
            answer,
            room,
        }))?;
        answered.await.unwrap_or_else(|_| Err(self.why_failed()))
    }

    /// Asks the writer to change small keys, and waits until it has; for the tidying thread.
    pub(super) fn tidy(&self, tidy: Tidy) -> Result<(), BusError> {
        let (done, wait) = mpsc::channel();
        self.send(Job::Tidy(tidy, done))?;
        wait.recv().map_err(|_| self.why_failed())
    }

    pub(super) fn send(&self, job: Job) -> Result<(), BusError> {
        self.jobs.send(job).map_err(|_| self.why_failed())
    }

    /// Remembers the first failure and wakes everybody who waits.
    pub(super) fn fail(&self, reason: String) {
        if self.failed.set(reason).is_ok() {
            tracing::error!(bus.path = %self.path.display(), error = %self.why_failed(), "the embedded log stops");
        }
        self.close();
    }

    /// Ends everything that still waits, once the log is closed.
    pub(super) fn close(&self) {
        let _ = self.failed.set("the embedded log is closed".to_owned());
        self.room.close();
        for partition in self.partitions() {
            partition.wake();
        }
    }

    pub(super) fn check(&self) -> Result<(), BusError> {
        if self.failed.get().is_some() {
            Err(self.why_failed())
        } else {
            Ok(())
        }
    }

    pub(super) fn why_failed(&self) -> BusError {
        match self.failed.get() {
            Some(reason) => BusError::Fatal(reason.clone()),
            None => BusError::Fatal("the embedded log is closed".to_owned()),
        }
    }

    /// Reads from disk, in offset order; blocks.
    pub(super) fn read_cold(
        &self,
        log: &PartitionLog,
        cold: &ColdRead,
        records: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, BusError> {
        let mut found = Vec::new();
        let mut size = 0;
        for (epoch, first, end) in &cold.ranges {
            let entries = match log.space {
                Space::Log(number) => {
                    let keyspace = &self.logs[usize::from(number)];
                    keyspace.range(keys::log(*epoch, log.slot, *first)..keys::log(*epoch, log.slot, *end))
                }
                Space::Kept => self
                    .kept
                    .range(keys::compacted(log.slot, *first)..keys::compacted(log.slot, *end)),
            };
            for entry in entries {
                let (key, value) = entry.into_inner().map_err(|error| storage(&error))?;
                let offset = key.last_chunk().map(|offset| i64::from_be_bytes(*offset));
                let record = offset.and_then(|offset| frame::decode(log.position(offset), &value));
                let record = record
                    .ok_or_else(|| BusError::Fatal(format!("{} holds a damaged record", log.name.topic)))?;
                size += value.len();
                found.push(record);
                if found.len() >= records || size >= bytes {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Gives whole tables back whose epochs are all below `epoch`.
    pub(super) fn drop_epochs_below(&self, number: usize, epoch: u32) -> Result<(), BusError> {
        let end = keys::log(epoch, 0, 0);
        let tree = &self.logs[number].tree;
        tree.drop_range(..end).map_err(|error| storage(&error.into()))
    }

    pub(super) fn open_epoch(&self, number: usize) -> u32 {
        self.epochs[number].load(Ordering::Acquire)
    }
}

/// An error of the storage engine; waiting does not mend it.
pub(super) fn storage(error: &fjall::Error) -> BusError {
    BusError::Fatal(format!("the embedded log's storage: {error}"))
}
