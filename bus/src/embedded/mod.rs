//! The embedded log: Kafka's semantics in one process, kept by `fjall`.
//!
//! A publisher's task checks and encodes its records (`prepare`), one thread writes them in batches (`writer`), another waits
//! for the disk where a topic asks for that (`syncer`), and whoever reads is woken and served from memory as long as it keeps
//! up (`partition`). `keys` says how the log lies on disk, `recover` how it is read back, `tidy` how it is kept small.

#![allow(
    clippy::disallowed_methods,
    reason = "rebuilt with a clock of its own by the next change of the log"
)]

mod assign;
mod cursor;
mod frame;
mod group;
mod holder;
mod keys;
mod member;
mod murmur2;
mod options;
mod partition;
mod power;
mod prepare;
mod reader;
mod recover;
mod retain;
mod shared;
mod summary;
mod syncer;
mod tidy;
mod topic;
mod writer;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, FilterPolicy, PinningPolicy};
use fjall::{Database, KeyspaceCreateOptions};

pub use options::EmbeddedOptions;
pub use power::{SyncMark, cut_to_last_sync, last_synced};

use self::partition::TailBudget;
use self::shared::{Opened, Shared, storage};
use self::syncer::Syncer;
use self::topic::TopicLog;
use self::writer::{Job, Tidy, Writer};
use crate::topics::Manifest;
use crate::{Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, StartAt};

/// The log of one process. Dropping it ends its threads; the data is closed once its consumers and readers are gone too.
pub struct EmbeddedBus {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    stop_tidying: Option<mpsc::Sender<()>>,
}

impl EmbeddedBus {
    /// Opens the log in `path`, creating it and the manifest's topics if need be. Blocks while it reads what is there.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when another process (or this one) has it open, naming it; else what the storage said.
    pub fn open(
        path: impl AsRef<Path>,
        manifest: &Manifest,
        options: EmbeddedOptions,
    ) -> Result<Self, BusError> {
        let path = path.as_ref();
        let tail = Arc::new(TailBudget::new(options.tail_size.as_usize()));
        let (db, logs, kept) = open_database(path, &options)?;
        holder::write(path).map_err(|error| BusError::Fatal(format!("{}: {error}", path.display())))?;
        let (jobs, waiting) = mpsc::channel();
        let opened = Opened {
            path: path.to_owned(),
            options,
            db,
            logs,
            kept,
            tail,
        };
        let shared = Arc::new(Shared::new(opened, jobs));
        recover::recover(&shared)?;
        let mut bus = Self {
            shared,
            writer: None,
            others: Vec::new(),
            stop_tidying: None,
        };
        bus.start(waiting)?;
        bus.shared.apply(manifest)?;
        Ok(bus)
    }

    fn start(&mut self, jobs: mpsc::Receiver<Job>) -> Result<(), BusError> {
        let thread = |error: std::io::Error| BusError::Fatal(format!("a thread of the log: {error}"));
        let (syncer, sync) =
            Syncer::new(&self.shared.path, self.shared.options.record_syncs).map_err(thread)?;
        let writer = Writer::new(Arc::clone(&self.shared), jobs, syncer);
        let (stop, stopped) = mpsc::channel();
        let (syncing, tidying) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(thread)
        };
        self.others
            .push(spawn("relay-bus-sync", Box::new(move || sync(syncing)))?);
        self.others.push(spawn(
            "relay-bus-tidy",
            Box::new(move || tidy::run(&tidying, &stopped)),
        )?);
        self.writer = Some(spawn("relay-bus-write", Box::new(move || writer.run()))?);
        self.stop_tidying = Some(stop);
        Ok(())
    }
}

fn open_database(
    path: &Path,
    options: &EmbeddedOptions,
) -> Result<(Database, [fjall::Keyspace; 2], fjall::Keyspace), BusError> {
    let opened = Database::builder(path)
        .cache_size(options.cache_size.as_u64())
        .worker_threads(1)
        .max_journaling_size(options.journal_size.as_u64().max(64 << 20))
        .open();
    let db = match opened {
        Err(fjall::Error::Locked) => return Err(BusError::Unavailable(holder::complaint(path))),
        other => other.map_err(|error| storage(&error))?,
    };
    // The writer rotates memtables itself; this limit only catches what it could not foresee.
    let base = || KeyspaceCreateOptions::default().max_memtable_size(64 << 20);
    // Log records are read in long ranges, never by key: no filters, large blocks, nothing pinned.
    let log = || {
        base()
            .data_block_size_policy(BlockSizePolicy::all(32 << 10))
            .filter_policy(FilterPolicy::disabled())
            .index_block_pinning_policy(PinningPolicy::all(false))
            .filter_block_pinning_policy(PinningPolicy::all(false))
            .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(64 << 20)))
    };
    let keyspaces = (|| {
        let logs = [db.keyspace("log-day", log)?, db.keyspace("log-long", log)?];
        Ok((logs, db.keyspace("kept", base)?))
    })();
    let (logs, kept) = keyspaces.map_err(|error: fjall::Error| storage(&error))?;
    Ok((db, logs, kept))
}

impl Shared {
    fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        let mut lines = Vec::new();
        let mut tidy = Tidy::default();
        {
            let mut topics = self.topics.write();
            for wanted in manifest.expanded() {
                let line = if let Some(topic) = topics.get(&wanted.name) {
                    topic.update(&wanted, &self.tail)
                } else {
                    let id = topics.values().map(|topic| topic.id + 1).max().unwrap_or(0);
                    let line = format!("{}: made, {} partitions", wanted.name, wanted.partitions);
                    topics.insert(
                        wanted.name.clone(),
                        Arc::new(TopicLog::create(id, wanted.clone(), &self.tail)),
                    );
                    line
                };
                tidy.puts
                    .push((keys::topic(&wanted.name), topics[&wanted.name].encode()?));
                lines.push(line);
            }
        }
        self.tidy(tidy)?;
        self.groups.rebalance_all(&|topic| self.slots(topic));
        Ok(lines)
    }

    /// The partitions of a topic; none if there is no such topic.
    fn slots(&self, topic: &str) -> Vec<keys::Slot> {
        let topics = self.topics.read();
        topics.get(topic).map_or_else(Vec::new, |topic| {
            topic.partitions().iter().map(|log| log.slot).collect()
        })
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.stop_tidying.take();
        // The writer takes the syncer's queue with it, which ends the syncer.
        let _ = self.shared.send(Job::Stop);
        for thread in self.writer.take().into_iter().chain(self.others.drain(..)) {
            let _ = thread.join();
        }
        self.shared.close();
        self.shared.tail.clear();
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        self.shared.append(records, commits).await
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(member::Member::join(&self.shared, group, topics)?))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(reader::LogReader::open(&self.shared, from)?))
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        Ok(self.shared.topic(topic)?.count() as i32)
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        let log = self.shared.partition(partition)?;
        let state = log.lock();
        Ok(OffsetRange {
            low: state.low,
            high: state.visible,
        })
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        let log = self.shared.partition(partition)?;
        Ok(self.shared.committed(group, log.slot))
    }

    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError> {
        let (shared, manifest) = (Arc::clone(&self.shared), manifest.clone());
        let applied = tokio::task::spawn_blocking(move || shared.apply(&manifest)).await;
        applied.map_err(|error| BusError::Fatal(format!("applying the manifest: {error}")))?
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.shared.append(Vec::new(), Vec::new()).await.map(|_| ())
    }
}
