//! What lies in the log: records, and where they lie.

use std::sync::Arc;

use bytes::Bytes;
use relay_schemas::{DecodeError, Payload, Registry, TimestampMs};

use crate::checksum::{is_intact, stamp};
use crate::headers::{Headers, header};
use crate::name::TopicName;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// The topic's name.
    pub topic: TopicName,
    /// From 0.
    pub partition: i32,
}

impl Partition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Topic and partition.
    pub partition: Partition,
    /// From 0; not always without gaps on Kafka.
    pub offset: i64,
}

/// A record as read from the log. Cloning it is counting: nothing of it is copied.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it lies.
    pub position: Position,
    /// When it was appended.
    pub timestamp: TimestampMs,
    /// Records of one key lie in one partition, in order.
    pub key: Option<Bytes>,
    /// See [`Headers`].
    pub headers: Headers,
    /// `None` is a tombstone.
    pub value: Option<Payload>,
}

/// A record on its way into the log. Cloning it is counting, as of a [`Record`].
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The topic's name.
    pub topic: TopicName,
    /// Chosen by the caller, else by the key's hash (murmur2, as Kafka's own clients do), else in turn.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// `None` is a tombstone.
    pub value: Option<Payload>,
}

impl Record {
    /// The offset at which it was written: one that an operator put back stands for the one that lay there, so that who won is
    /// the same as before.
    pub fn first_offset(&self) -> i64 {
        let Position {
            partition: Partition { topic, partition },
            offset,
        } = &self.position;
        let before = || {
            let from = self.headers.text(header::RESENT_FROM)?;
            let first = from.strip_prefix(&format!("{topic}/{partition}/"))?;
            let first: i64 = first.parse().ok()?;
            (0..*offset).contains(&first).then_some(first)
        };
        before().unwrap_or(*offset)
    }
}

impl Outgoing {
    /// A record whose partition follows from its key.
    pub fn keyed(
        topic: impl Into<TopicName>,
        key: impl Into<Bytes>,
        headers: Headers,
        value: impl Into<Payload>,
    ) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: Some(key.into()),
            headers,
            value: Some(value.into()),
        }
        .sealed()
    }

    /// A record for one certain partition.
    pub fn to_partition(partition: &Partition, headers: Headers, value: impl Into<Payload>) -> Self {
        let Partition { topic, partition } = partition.clone();
        Self {
            topic,
            partition: Some(partition),
            key: None,
            headers,
            value: Some(value.into()),
        }
        .sealed()
    }

    /// With the checksum of its value, unless it has one.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        if let Some(value) = &self.value
            && self.headers.get(header::CRC32).is_none()
        {
            stamp(&mut self.headers, value);
        }
        self
    }

    /// With another value, and its checksum.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<Payload>) -> Self {
        let value = value.into();
        stamp(&mut self.headers, &value);
        self.value = Some(value);
        self
    }
}

/// The value of `record` as a `T`, decoded where this process does not have it at hand. A record that the bus found damaged has none,
/// and of what is decoded the CRC header is checked where there is one.
///
/// # Errors
/// [`DecodeError`]; a schema that is unknown may be looked up, all else is poison.
pub fn read<T: relay_schemas::Record>(registry: &Registry, record: &Record) -> Result<Arc<T>, DecodeError> {
    if let Some(place) = record.headers.text(header::DAMAGED) {
        return Err(DecodeError::Malformed {
            record: T::NAME,
            reason: format!("the log damaged it: {place}"),
        });
    }
    if let Some(said) = record.value.as_ref().and_then(Payload::said) {
        return Ok(said);
    }
    let value = record.value.as_deref();
    if value.is_some_and(|value| !is_intact(&record.headers, value)) {
        return Err(DecodeError::Malformed {
            record: T::NAME,
            reason: "its checksum does not match".to_owned(),
        });
    }
    registry.decode(value).map(Arc::new)
}

/// [`read`], for readers that take the value apart.
///
/// # Errors
/// As [`read`].
pub fn decode<T: relay_schemas::Record>(registry: &Registry, record: &Record) -> Result<T, DecodeError> {
    read(registry, record).map(Arc::unwrap_or_clone)
}
