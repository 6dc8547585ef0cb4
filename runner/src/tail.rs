//! A tail: follows partitions of the log from given offsets on, for ever, whatever interrupts it.
//!
//! A task of its own reads, so that a loop never waits inside a read. It reopens its reader where it stopped, as often as it
//! takes; a full tail stops reading, and the log holds the rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_bus::{Bus, BusError, Partition, Record, StartAt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;

/// What a tail tells of the log: that it answers, or why it does not.
pub type Report = Box<dyn Fn(Result<(), &str>) + Send + Sync>;

/// Records of some partitions, each in order; ends when dropped.
pub struct Tail {
    records: mpsc::Receiver<Result<Vec<Record>, BusError>>,
    _task: AbortOnDropHandle<()>,
}

impl Tail {
    /// Reads `from` there on. At most `batches` reads wait to be taken. `report` is told after each attempt to reach the log.
    pub fn open(
        bus: Arc<dyn Bus>,
        from: impl IntoIterator<Item = (Partition, i64)>,
        batches: usize,
        backoff: Backoff,
        report: Report,
    ) -> Self {
        let (sender, records) = mpsc::channel(batches.max(1));
        let source = Source {
            bus,
            next: from.into_iter().collect(),
            backoff,
            report,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(source.run(sender)));
        Self { records, _task: task }
    }

    /// The next records. Safe to drop while waiting.
    ///
    /// # Errors
    /// Only [`BusError::Fatal`]: all else is waited for.
    pub async fn next(&mut self) -> Result<Vec<Record>, BusError> {
        let ended = || BusError::Fatal("a tail of the log ended".to_owned());
        self.records.recv().await.unwrap_or_else(|| Err(ended()))
    }

    /// The next records, if there are any now.
    pub fn try_next(&mut self) -> Option<Result<Vec<Record>, BusError>> {
        self.records.try_recv().ok()
    }
}

struct Source {
    bus: Arc<dyn Bus>,
    next: BTreeMap<Partition, i64>,
    backoff: Backoff,
    report: Report,
}

impl Source {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<Record>, BusError>>) {
        loop {
            let Err(error) = self.read(&sender).await else {
                return;
            };
            (self.report)(Err(&error.to_string()));
            if let BusError::Fatal(_) = error {
                let _ = sender.send(Err(error)).await;
                return;
            }
            self.backoff.wait().await;
        }
    }

    /// Reads until the bus fails, or nothing takes the records any more.
    async fn read(&mut self, sender: &mpsc::Sender<Result<Vec<Record>, BusError>>) -> Result<(), BusError> {
        let at = |(partition, next): (&Partition, &i64)| (partition.clone(), StartAt::Offset(*next));
        let mut reader = self.bus.read(self.next.iter().map(at).collect()).await?;
        (self.report)(Ok(()));
        loop {
            let records = reader.next().await?;
            (self.report)(Ok(()));
            self.backoff.reset();
            for record in &records {
                let next = record.position.offset + 1;
                self.next.insert(record.position.partition.clone(), next);
            }
            if sender.send(Ok(records)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Where each partition of `topic` ends now: where a [`Tail`] of what is new begins.
///
/// # Errors
/// What the bus says.
pub async fn ends(bus: &dyn Bus, topic: &str) -> Result<Vec<(Partition, i64)>, BusError> {
    let mut ends = Vec::new();
    for number in 0..bus.partitions(topic).await? {
        let partition = Partition::new(topic, number);
        let end = bus.range(&partition).await?.high;
        ends.push((partition, end));
    }
    Ok(ends)
}
