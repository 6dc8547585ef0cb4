//! Feeds: the log's records, read by a task of their own, so that the loop never waits inside a read.
//!
//! A feed reopens its reader where it stopped, as often as it takes; a full feed stops reading, and the log holds the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_bus::{Bus, BusError, Partition, Record, StartAt};
use relay_runner::Health;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::context::BUS;
use super::retry::Wait;
use crate::config::Config;

/// Records of some partitions, each in order; ends when dropped.
pub(super) struct Feed {
    records: mpsc::Receiver<Result<Vec<Record>, BusError>>,
    _task: AbortOnDropHandle<()>,
}

impl Feed {
    /// Reads `from` there on, for ever.
    pub(super) fn open(
        bus: Arc<dyn Bus>,
        health: Health,
        config: &Config,
        from: Vec<(Partition, i64)>,
    ) -> Self {
        let (sender, records) = mpsc::channel(config.feed_batches.max(1));
        let follower = Follower {
            bus,
            health,
            next: from.into_iter().collect(),
            wait: Wait::new(config),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(follower.run(sender)));
        Self { records, _task: task }
    }

    /// The next records. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        let ended = || BusError::Fatal("a feed ended".to_owned());
        self.records.recv().await.unwrap_or_else(|| Err(ended()))
    }

    /// The next records, if there are any now.
    pub(super) fn try_next(&mut self) -> Option<Result<Vec<Record>, BusError>> {
        self.records.try_recv().ok()
    }
}

struct Follower {
    bus: Arc<dyn Bus>,
    health: Health,
    next: BTreeMap<Partition, i64>,
    wait: Wait,
}

impl Follower {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<Record>, BusError>>) {
        loop {
            let Err(error) = self.read(&sender).await else {
                return;
            };
            if let BusError::Fatal(_) = error {
                let _ = sender.send(Err(error)).await;
                return;
            }
            self.health.down(BUS, error.to_string());
            self.wait.once().await;
        }
    }

    /// Reads until the bus fails, or the feed is dropped.
    async fn read(&mut self, sender: &mpsc::Sender<Result<Vec<Record>, BusError>>) -> Result<(), BusError> {
        let at = |(partition, next): (&Partition, &i64)| (partition.clone(), StartAt::Offset(*next));
        let mut reader = self.bus.read(self.next.iter().map(at).collect()).await?;
        loop {
            let records = reader.next().await?;
            self.health.up(BUS);
            self.wait.reset();
            for record in &records {
                self.next
                    .insert(record.position.partition.clone(), record.position.offset + 1);
            }
            if sender.send(Ok(records)).await.is_err() {
                return Ok(());
            }
        }
    }
}
