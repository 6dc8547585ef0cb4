//! Topics as the embedded log knows them: a number, settings from the manifest, partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut, Bytes};
use parking_lot::RwLock;

use super::murmur2;
use super::partition::{PartitionLog, TailBudget};
use super::slot;
use crate::topics::{OUTCOMES, Topic};
use crate::{BusError, Outgoing, Partition};

pub(super) struct TopicLog {
    pub id: u16,
    settings: RwLock<Topic>,
    partitions: RwLock<Vec<Arc<PartitionLog>>>,
    turn: AtomicUsize,
}

impl TopicLog {
    pub(super) fn new(id: u16, settings: Topic, tail: &Arc<TailBudget>) -> Self {
        let topic = Self {
            id,
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
                slot::slot(self.id, number as u16),
                Partition::new(settings.name.clone(), number as i32),
                Arc::clone(tail),
            )));
        }
    }

    /// What the topic becomes when the manifest says `wanted`, if anything changes, and the line that tells it.
    pub(super) fn becomes(&self, wanted: &Topic) -> (Option<Topic>, String) {
        let before = self.settings.read();
        let name = &wanted.name;
        if wanted.compacted != before.compacted {
            let line = format!("{name}: `compacted` cannot change; use a new topic (kept as it was)");
            return (None, line);
        }
        let (partitions, why) = match (before.partitions, wanted.partitions) {
            (had, wanted) if had != wanted && name == OUTCOMES => {
                (had, "because who won is the first in partition order")
            }
            (had, wanted) if had > wanted => (had, "partitions are never taken away"),
            (_, wanted) => (wanted, ""),
        };
        let after = Topic {
            partitions,
            ..wanted.clone()
        };
        let changed = (after != *before).then_some(after);
        let what = if changed.is_some() {
            "settings changed"
        } else {
            "as it was"
        };
        let line = match (why, &changed) {
            ("", None) => format!("{name}: as it was"),
            ("", Some(_)) => format!("{name}: settings changed, {partitions} partitions"),
            (why, _) => format!(
                "{name}: {what}; it keeps its {partitions} partitions instead of {}, {why}",
                wanted.partitions
            ),
        };
        (changed, line)
    }

    /// Takes over what [`TopicLog::becomes`] said.
    pub(super) fn become_so(&self, settings: Topic, tail: &Arc<TailBudget>) {
        *self.settings.write() = settings;
        self.grow(tail);
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

    pub(super) fn is_compacted(&self) -> bool {
        self.settings.read().compacted
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

    pub(super) fn read(note: &[u8], tail: &Arc<TailBudget>) -> Option<Self> {
        let (id, settings) = decode(note)?;
        Some(Self::new(id, settings, tail))
    }
}

/// Reads a topic's note: number, settings.
pub(super) fn decode(mut note: &[u8]) -> Option<(u16, Topic)> {
    let id = note.try_get_u16_le().ok()?;
    Some((id, serde_json::from_slice(note).ok()?))
}

/// A topic as its note in the log: number, settings.
pub(super) fn encode(id: u16, settings: &Topic) -> Result<Bytes, BusError> {
    let mut bytes = Vec::new();
    bytes.put_u16_le(id);
    let settings = serde_json::to_vec(settings)
        .map_err(|error| BusError::Fatal(format!("a topic's settings cannot be written: {error}")))?;
    bytes.extend_from_slice(&settings);
    Ok(bytes.into())
}
