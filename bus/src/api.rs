//! The log seam: what a bus must do. Two implementations, one contract suite (`tests/contract.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::Registry;
use relay_schemas::TimestampMs;

use crate::topics::Manifest;
use crate::{Outgoing, Partition, Position, Record};

/// See [`Bus::looks_every`].
pub(crate) const LOOKS_EVERY: Duration = Duration::from_secs(5);

/// A partitioned, durable, replayable log with consumer groups.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Appends `records` in order and returns where they lie once they are acknowledged as durably as their topics ask;
    /// the `commits` take effect then, never before (embedded: in the same atomic batch). While a group has members, what would
    /// set it back comes too late and is passed over; one that nobody reads as may be set back.
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError>;

    /// Joins a consumer group: each partition is read by one member, from the group's committed offset (else from the start).
    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError>;

    /// Reads partitions from given places, outside any group, and goes on for ever as records arrive.
    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError>;

    /// How many partitions `topic` has.
    async fn partitions(&self, topic: &str) -> Result<i32, BusError>;

    /// The offsets that a partition holds.
    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError>;

    /// What `group` has committed in `partition`: the next offset it would read.
    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError>;

    /// Makes the topics what the manifest says, without ever deleting one; tells what it did, one line a topic.
    async fn apply(&self, manifest: &Manifest) -> Result<Vec<String>, BusError>;

    /// How often whoever follows topics looks what they are by now: whether there are more partitions, whether they reach as far as
    /// they were read.
    fn looks_every(&self) -> Duration {
        LOOKS_EVERY
    }

    /// Answers if the bus can be reached now and takes records.
    async fn probe(&self) -> Result<(), BusError>;

    /// Whether there is room for new work; cheap. Whoever takes requests in asks first, so that those that run always have
    /// room to end. Where somebody else looks after the disk there is always enough.
    fn room(&self) -> Room {
        Room::Enough
    }

    /// Shows the bus's own metrics among those of `registry`.
    fn register(&self, _registry: &Registry) -> prometheus::Result<()> {
        Ok(())
    }
}

/// A member of a consumer group.
#[async_trait]
pub trait Consumer: Send {
    /// The next event, when there is one. May be dropped and called again at any time: no record is lost by it.
    async fn next(&mut self) -> Result<ConsumerEvent, BusError>;

    /// How far each partition that is ours is read: the offset from which its next record comes, once that is known.
    fn places(&self) -> BTreeMap<Partition, i64>;

    /// Stops fetching from these partitions until [`Consumer::resume`]; their records wait in the log.
    async fn pause(&mut self, partitions: &[Partition]) -> Result<(), BusError>;

    /// Goes on fetching.
    async fn resume(&mut self, partitions: &[Partition]) -> Result<(), BusError>;

    /// Commits now; for what is finished without publishing anything.
    async fn commit(&mut self, commits: Vec<Commit>) -> Result<(), BusError>;

    /// Leaves the group, so that others take over at once.
    async fn leave(self: Box<Self>) -> Result<(), BusError>;
}

/// What a group member is told.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// Records of one or several partitions, each partition in order. Never empty.
    Records(Vec<Record>),
    /// These are ours from now on.
    Assigned(Vec<Partition>),
    /// These are no longer ours: stop publishing on their behalf.
    Revoked(Vec<Partition>),
}

/// A reader outside any group.
#[async_trait]
pub trait Reader: Send {
    /// The next records, at least one, waiting for them if need be; each partition in order. May be dropped and called again
    /// at any time: no record is lost by it.
    async fn next(&mut self) -> Result<Vec<Record>, BusError>;
}

/// Where a [`Reader`] starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// The oldest record held.
    Start,
    /// Behind the newest record.
    End,
    /// This offset, or the oldest held after it.
    Offset(i64),
    /// The first record appended at or after this instant.
    Time(TimestampMs),
}

/// The next offset that `group` shall read in `partition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: Partition,
    /// One more than the last finished offset.
    pub next: i64,
}

/// Offsets held: `low..high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// The oldest offset held.
    pub low: i64,
    /// The next offset to be given.
    pub high: i64,
}

impl OffsetRange {
    /// Whether something is left for who has read to `next`.
    pub fn holds_behind(self, next: i64) -> bool {
        self.high > self.low.max(next)
    }
}

/// Whether there is room for new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Enough,
    /// What is left is kept for what was accepted before.
    Reserved {
        /// Bytes left on the disk.
        free: u64,
        /// Bytes that are kept.
        reserve: u64,
    },
}

/// Why the bus did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It cannot be reached or does not answer: wait, probe, resume. The result of a publish is then unknown.
    #[error("the bus is unavailable: {0}")]
    Unavailable(String),
    /// Its disk is full. Nothing of a publish was taken; it goes on by itself once there is room.
    #[error("the disk of the bus is full: {0}; nothing was taken")]
    Full(String),
    /// It takes nothing for now. Nothing of a publish was taken; it goes on by itself.
    #[error("the bus takes nothing: {0}; nothing was taken")]
    Failing(String),
    /// This record is larger than its topic allows.
    #[error("a record of {size} bytes for {topic}, which allows {limit}")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Bytes of the record.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The topic does not exist.
    #[error(
        "there is no topic {0}; `relay topics apply` makes those of the manifest, `relay topics offsets` lists them"
    )]
    UnknownTopic(String),
    /// Nothing that waiting mends.
    #[error("the bus failed: {0}")]
    Fatal(String),
}

impl BusError {
    /// A partition's log, read to `next` in this process, does not reach so far: it is not the one that was read.
    pub fn rewound(partition: &Partition, next: i64) -> Self {
        let Partition { topic, partition } = partition;
        Self::Fatal(format!(
            "{topic}-{partition} was read to offset {next}, and its log does not reach so far any more: the topic was deleted and \
             made anew, or lost its end; start this process again, which goes on with what the topic holds now"
        ))
    }

    /// Whether waiting and trying again may mend it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full(_) | Self::Failing(_) | Self::UnknownTopic(_) => true,
            Self::TooLarge { .. } | Self::Fatal(_) => false,
        }
    }
}
