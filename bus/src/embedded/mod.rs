//! The embedded log: Kafka's semantics in one process, on segment files (`relay-log`).
//!
//! A publisher's task checks and encodes its records (`publish`) and appends them where nobody else does, else one thread does
//! (`writer`, `turn`); another waits for the disk where a topic asks for that (`syncer`), a third keeps the log small
//! (`housekeeper`), and whoever reads is woken and served from memory as long as it keeps up (`partition`), else from the disk
//! (`cold`). What the log must know besides its records are its `notes`; a full or failing disk is `health` and `space`.
//! Simulations do without the threads (`inline`).

mod apply;
mod assign;
mod check;
mod cold;
mod copy;
mod cursor;
mod disk;
mod group;
mod health;
mod housekeeper;
#[cfg(feature = "simulated")]
mod inline;
mod jobs;
mod losses;
mod lost;
mod member;
mod murmur2;
mod names;
mod notes;
mod options;
mod partition;
mod presence;
mod publish;
mod reader;
mod record;
mod recover;
mod retain;
mod shared;
mod slot;
mod space;
mod syncer;
mod topic;
mod turn;
mod writer;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::Registry;
use relay_clock::Clock;
use relay_log::{DiskStorage, Log, OpenError, Options, Storage};
use tokio::sync::oneshot;

pub use check::{Checked, Finding, Torn, check};
pub use copy::{Copied, copy};
#[cfg(feature = "simulated")]
pub use inline::Inline;
pub use options::EmbeddedOptions;

use self::disk::Disk;
use self::housekeeper::Housekeeper;
use self::shared::Shared;
use self::syncer::Syncer;
use self::writer::Appender;
use crate::api::LOOKS_EVERY;
use crate::topics::Manifest;
use crate::{
    Bus, BusError, Commit, Consumer, OffsetRange, Outgoing, Partition, Position, Reader, Room, StartAt,
};

/// The log of one process. Dropping it ends its threads; the data is closed once its consumers and readers are gone too.
pub struct EmbeddedBus {
    shared: Arc<Shared>,
    appender: Arc<Appender>,
    threads: Vec<JoinHandle<()>>,
    stop_housekeeping: Option<oneshot::Sender<()>>,
    end: Option<Arc<End>>,
}

/// What ends a log, once nobody shows records any more: dropped by the last one who may.
struct End(Arc<Shared>);

impl EmbeddedBus {
    /// Opens the log in `path`, creating it and the manifest's topics if need be. Blocks while it reads what is there.
    ///
    /// # Errors
    /// [`BusError::Unavailable`] when another process (or this one) has it open, naming it; else what the storage said.
    pub fn open(
        path: impl AsRef<Path>,
        manifest: &Manifest,
        options: EmbeddedOptions,
        clock: &Clock,
    ) -> Result<Self, BusError> {
        let path = path.as_ref();
        let folder = path.display().to_string();
        let storage = DiskStorage::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => BusError::Unavailable(error.to_string()),
            _ => BusError::Fatal(format!("{folder}: {error}")),
        })?;
        let salt = RandomState::new().hash_one(clock.now().0);
        Self::open_on(storage, &folder, manifest, options, clock, salt)
    }

    /// As [`EmbeddedBus::open`], on any storage; `folder` says where that is, and `salt` tells a log that is made from any other.
    ///
    /// # Errors
    /// What the storage said.
    pub fn open_on(
        storage: impl Storage,
        folder: &str,
        manifest: &Manifest,
        options: EmbeddedOptions,
        clock: &Clock,
        salt: u64,
    ) -> Result<Self, BusError> {
        let shared = opened(storage, folder, options, clock, salt, false)?;
        let (queue, syncer) = Syncer::new(Arc::clone(&shared));
        let (appender, writer) = Appender::new(Arc::clone(&shared), queue.clone());
        let (stop, stopped) = oneshot::channel();
        let mut bus = Self {
            end: Some(Arc::new(End(Arc::clone(&shared)))),
            shared,
            appender,
            threads: Vec::new(),
            stop_housekeeping: Some(stop),
        };
        let housekeeper = Housekeeper::new(Arc::clone(&bus.shared), queue);
        bus.spawn("relay-bus-write", move || writer.run())?;
        bus.spawn("relay-bus-tidy", move || alone(housekeeper.run(stopped)))?;
        bus.spawn("relay-bus-sync", move || alone(syncer.run(|| Duration::ZERO)))?;
        apply::apply(&bus.shared, manifest)?;
        Ok(bus)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), BusError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread.map_err(|error| BusError::Fatal(format!("a thread of the log: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }
}

/// What all parts share, with what the storage holds.
fn opened(
    storage: impl Storage,
    folder: &str,
    options: EmbeddedOptions,
    clock: &Clock,
    salt: u64,
    inline: bool,
) -> Result<Arc<Shared>, BusError> {
    let disk = Arc::new(Disk::new(storage));
    let opened = Log::open(disk, limits(&options), salt, clock.now().0);
    let (log, opened) = opened.map_err(|error| not_opened(folder, &error))?;
    let shared = Arc::new(Shared::new(log, folder, options, clock.clone(), inline));
    recover::tell(folder, &opened, &shared);
    if opened.notes_lost {
        // Topics would get other numbers than their records bear, and groups would begin anew.
        return Err(BusError::Fatal(format!(
            "every copy of the notes of the log in {folder} is damaged, so neither its topics nor what groups have read is known: restore a backup (`relay restore`), or move the folder away to begin an empty log"
        )));
    }
    recover::recover(&shared)?;
    Ok(shared)
}

/// Runs one of the log's loops on a thread of its own.
fn alone(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime that does no I/O asks nothing of the system");
    runtime.block_on(run);
}

fn limits(options: &EmbeddedOptions) -> Options {
    Options {
        segment_size: options.segment_size.as_u64(),
        segment_age_ms: relay_clock::millis(options.segment_age),
        ..Options::default()
    }
}

fn not_opened(folder: &str, error: &OpenError) -> BusError {
    BusError::Fatal(format!("the log in {folder} does not open: {error}"))
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.stop_housekeeping.take();
        self.appender.stop();
        // A disk that fails must not hold the end up.
        self.shared.health.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.end.take();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
        self.0.tail.clear();
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        publish::publish(&self.appender, records, commits).await
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        Ok(Box::new(member::Member::join(&self.appender, group, topics)?))
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        // Where a time begins only the log knows, which is locked for long while it goes on after a failed sync.
        let shared = Arc::clone(&self.shared);
        let open = move || reader::LogReader::open(&shared, from);
        let opened = self.shared.beside("opening a reader", open).await??;
        Ok(Box::new(opened))
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
        let apply = move || apply::apply(&shared, &manifest);
        self.shared.beside("applying the manifest", apply).await?
    }

    async fn probe(&self) -> Result<(), BusError> {
        publish::publish(&self.appender, Vec::new(), Vec::new()).await?;
        self.shared.health.check()
    }

    /// A read that a disk refuses is tried for its whole patience before what is there counts as damaged: a reader that were let go
    /// before would never come that far.
    fn looks_every(&self) -> Duration {
        self.shared.options.read_patience.max(LOOKS_EVERY)
    }

    fn room(&self) -> Room {
        self.shared.room()
    }

    fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        self.shared.losses.register(registry)
    }
}
