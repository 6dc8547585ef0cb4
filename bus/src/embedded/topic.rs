//! Topics as the embedded log knows them: a number, a keyspace, settings from the manifest, partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut};
use parking_lot::RwLock;
use relay_settings::ByteSize;

use super::keys;
use super::murmur2;
use super::partition::{PartitionLog, Space, TailBudget};
use super::retain::{self, Retention};
use crate::topics::Topic;
use crate::{BusError, Outgoing, Partition};

/// Topics kept this long or shorter share the first log keyspace.
const SHORT: Duration = Duration::from_hours(24);

pub(super) struct TopicLog {
    pub id: u16,
    pub space: Space,
    settings: RwLock<Topic>,
    partitions: RwLock<Vec<Arc<PartitionLog>>>,
    turn: AtomicUsize,
}

impl TopicLog {
    /// A topic that is new to this log; its keyspace never changes afterwards.
    pub(super) fn create(id: u16, settings: Topic, tail: &Arc<TailBudget>) -> Self {
        let space = match settings.retention {
            _ if settings.compacted => Space::Kept,
            Some(retention) if retention <= SHORT => Space::Log(0),
            _ => Space::Log(1),
        };
        Self::with(id, space, settings, tail)
    }

    fn with(id: u16, space: Space, settings: Topic, tail: &Arc<TailBudget>) -> Self {
        let topic = Self {
            id,
            space,
            settings: RwLock::new(settings),
            partitions: RwLock::default(),
            turn: AtomicUsize::new(0),
        };
        topic.grow(tail);
        topic
    }

    /// Makes as many partitions as the settings say; never fewer than there were.
    fn grow(&self, tail: &Arc<TailBudget>) {
        let settings = self.settings.read();
        let mut partitions = self.partitions.write();
        for number in partitions.len()..settings.partitions as usize {
            partitions.push(Arc::new(PartitionLog::new(
                keys::slot(self.id, number as u16),
                Partition::new(settings.name.clone(), number as i32),
                self.space,
                Arc::clone(tail),
            )));
        }
    }

    /// Takes over new settings; says what changed, or that nothing did.
    pub(super) fn update(&self, wanted: &Topic, tail: &Arc<TailBudget>) -> String {
        let before = self.settings.read().clone();
        let name = &wanted.name;
        if wanted.compacted != before.compacted {
            return format!("{name}: `compacted` cannot change; use a new topic (kept as it was)");
        }
        if *wanted == before {
            return format!("{name}: as it was");
        }
        let partitions = wanted.partitions.max(before.partitions);
        *self.settings.write() = Topic {
            partitions,
            ..wanted.clone()
        };
        self.grow(tail);
        if partitions > wanted.partitions {
            format!(
                "{name}: settings changed; it keeps its {partitions} partitions, which never become fewer"
            )
        } else {
            format!("{name}: settings changed, {partitions} partitions")
        }
    }

    pub(super) fn settings(&self) -> Topic {
        self.settings.read().clone()
    }

    pub(super) fn on_disk(&self) -> bool {
        self.settings.read().on_disk
    }

    pub(super) fn limit(&self) -> usize {
        self.settings.read().max_record.as_usize()
    }

    pub(super) fn retention(&self) -> Retention {
        let settings = self.settings.read();
        Retention {
            age_ms: settings.retention.map(retain::millis),
            bytes: settings.retention_size.map(ByteSize::as_u64),
        }
    }

    pub(super) fn partitions(&self) -> Vec<Arc<PartitionLog>> {
        self.partitions.read().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.partitions.read().len()
    }

    pub(super) fn partition(&self, number: i32) -> Option<Arc<PartitionLog>> {
        self.partitions.read().get(usize::try_from(number).ok()?).cloned()
    }

    /// The partition for `record`: as asked, by key, or in turn.
    pub(super) fn choose(&self, record: &Outgoing) -> Result<Arc<PartitionLog>, BusError> {
        let number = match (record.partition, &record.key) {
            (Some(number), _) => number,
            (None, Some(key)) => murmur2::partition_of(key, self.count()),
            (None, None) => (self.turn.fetch_add(1, Ordering::Relaxed) % self.count()) as i32,
        };
        self.partition(number).ok_or_else(|| {
            BusError::Fatal(format!(
                "{} has {} partitions, there is no number {number}",
                record.topic,
                self.count()
            ))
        })
    }

    /// As kept under [`keys::topic`]: number, keyspace, settings.
    pub(super) fn encode(&self) -> Result<Vec<u8>, BusError> {
        let mut bytes = Vec::new();
        bytes.put_u16(self.id);
        bytes.put_u8(match self.space {
            Space::Log(number) => number,
            Space::Kept => u8::MAX,
        });
        let settings = serde_json::to_vec(&*self.settings.read())
            .map_err(|error| BusError::Fatal(format!("a topic's settings cannot be written: {error}")))?;
        bytes.extend_from_slice(&settings);
        Ok(bytes)
    }

    pub(super) fn decode(mut bytes: &[u8], tail: &Arc<TailBudget>) -> Result<Self, BusError> {
        let damaged = || BusError::Fatal("the log's list of topics is damaged".to_owned());
        let id = bytes.try_get_u16().map_err(|_| damaged())?;
        let space = match bytes.try_get_u8().map_err(|_| damaged())? {
            u8::MAX => Space::Kept,
            number if number < 2 => Space::Log(number),
            _ => return Err(damaged()),
        };
        let settings = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        Ok(Self::with(id, space, settings, tail))
    }
}
