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
            let line = format!("{name}: unchanged, `compacted` cannot change: use a new topic");
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
        let mut said = changes(&before, &after);
        if !why.is_empty() {
            let wanted = wanted.partitions;
            said.push(format!(
                "keeps its {partitions} partitions instead of {wanted}, {why}"
            ));
        }
        if said.is_empty() {
            said.push("unchanged".to_owned());
        }
        let changed = (after != *before).then_some(after);
        (changed, format!("{name}: {}", said.join(", ")))
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

/// What differs, as the manifest names it: `retention 3days → 4days`.
fn changes(before: &Topic, after: &Topic) -> Vec<String> {
    let settings = |topic: &Topic| match serde_json::to_value(topic) {
        Ok(serde_json::Value::Object(settings)) => settings,
        _ => serde_json::Map::new(),
    };
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    let (before, after) = (settings(before), settings(after));
    let changed = after.iter().filter_map(|(name, now)| {
        let was = before.get(name).unwrap_or(&serde_json::Value::Null);
        (was != now).then(|| format!("{name} {} → {}", word(was), word(now)))
    });
    changed.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(settings: &str) -> Topic {
        let yaml = format!("pools: [a]\ntopics: [{{ {settings} }}]");
        let manifest = crate::topics::Manifest::parse(&yaml).expect("a manifest");
        manifest.topics[0].clone()
    }

    #[test]
    fn applying_says_which_setting_it_changes_and_from_what() {
        let was = TopicLog::new(
            1,
            topic("name: t, partitions: 2, retention: 3d"),
            &Arc::new(TailBudget::new(1, relay_clock::Clock::system())),
        );
        for (wanted, said) in [
            ("name: t, partitions: 2, retention: 3d", "t: unchanged"),
            (
                "name: t, partitions: 3, retention: 4d",
                "t: partitions 2 → 3, retention 3days → 4days",
            ),
            (
                "name: t, partitions: 2, max_record: 2MiB, retention_size: 1GiB, on_disk: true",
                "t: retention 3days → none, retention_size none → 1GiB, max_record 1MiB → 2MiB, on_disk false → true",
            ),
            (
                "name: t, partitions: 1, retention: 3d",
                "t: keeps its 2 partitions instead of 1, partitions are never taken away",
            ),
        ] {
            assert_eq!(was.becomes(&topic(wanted)).1, said);
        }
    }
}
