//! The log without threads, for simulations on one thread and paused time: everything is done on the tasks of those who ask for it,
//! and what the threads do besides is one task more.

use std::sync::Arc;
use std::time::Duration;

use relay_clock::Clock;
use relay_log::Storage;
use tokio::sync::oneshot;

use super::housekeeper::Housekeeper;
use super::syncer::Syncer;
use super::writer::Appender;
use super::{EmbeddedBus, EmbeddedOptions, End, apply, opened, publish};
use crate::topics::Manifest;
use crate::{BusError, Outgoing, Partition};

/// What syncs a log without threads and keeps it small. Where it does not run, nothing that must be on disk is acknowledged.
pub struct Inline {
    syncer: Syncer,
    housekeeper: Housekeeper,
    stopped: oneshot::Receiver<()>,
    end: Arc<End>,
}

impl EmbeddedBus {
    /// As [`EmbeddedBus::open_on`], without threads. What lies on the disk follows from what is done, from `clock` and from `salt`.
    ///
    /// # Errors
    /// What the storage said.
    pub fn open_inline(
        storage: impl Storage,
        folder: &str,
        manifest: &Manifest,
        options: EmbeddedOptions,
        clock: &Clock,
        salt: u64,
    ) -> Result<(Self, Inline), BusError> {
        let shared = opened(storage, folder, options, clock, salt, true)?;
        let (queue, syncer) = Syncer::new(Arc::clone(&shared));
        let housekeeper = Housekeeper::new(Arc::clone(&shared), queue.clone());
        let (stop, stopped) = oneshot::channel();
        let end = Arc::new(End(Arc::clone(&shared)));
        apply::apply(&shared, manifest)?;
        let bus = Self {
            appender: Appender::inline(Arc::clone(&shared), queue),
            shared,
            threads: Vec::new(),
            stop_housekeeping: Some(stop),
            end: Some(Arc::clone(&end)),
        };
        let inline = Inline {
            syncer,
            housekeeper,
            stopped,
            end,
        };
        Ok((bus, inline))
    }
}

impl EmbeddedBus {
    /// Where `record` would go; refuses what a publish refuses.
    pub(crate) fn place(&self, record: &Outgoing) -> Result<Partition, BusError> {
        let prepared = publish::prepare(&self.shared, record.clone())?;
        Ok(prepared.log.name.clone())
    }

    /// Ends it for all that still have it.
    pub(crate) fn end(&self) {
        self.appender.stop();
        self.shared.close();
    }
}

impl Inline {
    /// Runs until the bus is dropped; then everything is on disk, unless the disk fails. Each sync takes as long as `slow` says; what
    /// goes on after one that failed takes no time.
    pub async fn run(self, slow: impl FnMut() -> Duration + Send) {
        futures::future::join(self.housekeeper.run(self.stopped), self.syncer.run(slow)).await;
        drop(self.end);
    }
}
