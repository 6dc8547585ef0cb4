//! A tail: follows partitions of the log from given offsets on, for ever, whatever interrupts it.
//!
//! A task of its own reads, so that a loop never waits inside a read. It reopens its reader where it stopped, as often as it
//! takes; a full tail stops reading, and the log holds the rest. Every now and then it looks at the topics themselves: partitions
//! that were added are read from their start, and a log that does not reach as far as it was read is a loud end.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use relay_bus::{Bus, BusError, Partition, Position, Record, StartAt};
use relay_clock::Clock;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::behind::{self, Behind, Found, Places};
use crate::runtime::Runtime;
use crate::watchdog::Part;

/// What a tail tells of the log: that it answers, or why it does not.
pub type Report = Box<dyn Fn(Result<(), &str>) + Send + Sync>;

/// What a tail follows.
pub struct Follow {
    next: Places,
    /// Whether partitions that are added to these topics are followed too.
    whole_topics: bool,
}

impl Follow {
    /// These partitions and no others, each from there on.
    pub fn partitions(from: impl IntoIterator<Item = (Partition, i64)>) -> Self {
        Self {
            next: from.into_iter().collect(),
            whole_topics: false,
        }
    }

    /// All partitions of these topics: those that there are now from there on, and those that come later from their start.
    pub fn topics(from: impl IntoIterator<Item = (Partition, i64)>) -> Self {
        Self {
            whole_topics: true,
            ..Self::partitions(from)
        }
    }
}

/// Records of some partitions, each in order; ends when dropped.
pub struct Tail {
    records: mpsc::Receiver<Result<Vec<Record>, BusError>>,
    _task: AbortOnDropHandle<()>,
}

impl Tail {
    /// Reads what `follow` says. At most `batches` reads wait to be taken. `report` is told after each attempt to reach the log.
    pub fn open(runtime: &Runtime, follow: Follow, batches: usize, backoff: Backoff, report: Report) -> Self {
        let (sender, records) = mpsc::channel(batches.max(1));
        let source = Source {
            bus: Arc::clone(&runtime.bus),
            clock: runtime.clock.clone(),
            part: runtime.watchdog.part(),
            follow,
            behind: Behind::default(),
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
    clock: Clock,
    part: Part,
    follow: Follow,
    behind: Behind,
    backoff: Backoff,
    report: Report,
}

/// Why a reader is let go.
enum Left {
    /// Nothing takes the records any more.
    Unwanted,
    /// There are partitions that it does not read.
    Grown,
}

impl Source {
    async fn run(mut self, sender: mpsc::Sender<Result<Vec<Record>, BusError>>) {
        loop {
            let error = match self.read(&sender).await {
                Ok(Left::Unwanted) => return,
                Ok(Left::Grown) => continue,
                Err(error) => error,
            };
            (self.report)(Err(&error.to_string()));
            if let BusError::Fatal(_) = error {
                let _ = sender.send(Err(error)).await;
                return;
            }
            self.backoff.wait().await;
        }
    }

    /// Reads until the bus fails, or another reader is needed, or none.
    async fn read(&mut self, sender: &mpsc::Sender<Result<Vec<Record>, BusError>>) -> Result<Left, BusError> {
        let at = |(partition, next): (&Partition, &i64)| (partition.clone(), StartAt::Offset(*next));
        let mut reader = self.bus.read(self.follow.next.iter().map(at).collect()).await?;
        (self.report)(Ok(()));
        let mut looking = self.look();
        // Another reader is given its time.
        self.behind.forget();
        loop {
            let records = tokio::select! {
                biased;
                look = &mut looking => {
                    let Look { new, found } = look;
                    if !new.is_empty() {
                        self.follow.next.extend(new.into_iter().map(|partition| (partition, 0)));
                        return Ok(Left::Grown);
                    }
                    if let Some(what) = self.behind.take(found, &self.follow.next)? {
                        let error = BusError::Unavailable(format!("{what}; another reader is tried"));
                        self.part.stands_still(what, &self.clock);
                        return Err(error);
                    }
                    self.part.moves();
                    looking = self.look();
                    continue;
                }
                records = reader.next() => records?,
            };
            (self.report)(Ok(()));
            self.backoff.reset();
            for record in &records {
                let Position { partition, offset } = &record.position;
                self.behind.came(partition);
                self.follow.next.insert(partition.clone(), offset + 1);
            }
            if self.behind.moves() {
                self.part.moves();
            }
            if let Err(full) = sender.try_send(Ok(records)) {
                if sender.send(full.into_inner()).await.is_err() {
                    return Ok(Left::Unwanted);
                }
                // What it could not be asked for meanwhile is not late.
                self.behind.forget();
            }
        }
    }

    /// Looks after a while.
    fn look(&self) -> BoxFuture<'static, Look> {
        let (bus, next) = (Arc::clone(&self.bus), self.follow.next.clone());
        let whole_topics = self.follow.whole_topics;
        async move {
            tokio::time::sleep(bus.looks_every()).await;
            let found = behind::look(&*bus, &next).await;
            let new = if whole_topics {
                added(&*bus, &next).await
            } else {
                Vec::new()
            };
            Look { new, found }
        }
        .boxed()
    }
}

/// What a look at the topics themselves found. A bus that does not answer is the reader's to tell.
struct Look {
    /// Partitions that are not read.
    new: Vec<Partition>,
    found: Found,
}

/// Partitions of the same topics that are not among them.
async fn added(bus: &dyn Bus, next: &Places) -> Vec<Partition> {
    let topics: BTreeSet<&str> = next.keys().map(|partition| partition.topic.as_str()).collect();
    let mut new = Vec::new();
    for topic in topics {
        let count = bus.partitions(topic).await.unwrap_or(0);
        let all = (0..count).map(|number| Partition::new(topic, number));
        new.extend(all.filter(|partition| !next.contains_key(partition)));
    }
    for Partition { topic, partition } in &new {
        tracing::info!(
            messaging.topic = topic.as_str(),
            messaging.partition = partition,
            "a partition was added to a topic that is followed; it is read from its start"
        );
    }
    new
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
