//! What a topic should be, and what has to be done to make it so. Pure.

use std::collections::BTreeMap;

use super::convert::OVERHEAD;
use crate::topics::{OUTCOMES, Topic};

/// The smallest segment of a compacted topic, bytes.
const SEGMENT: usize = 16 * 1024 * 1024;

/// The broker's settings that the manifest decides about.
pub(super) fn settings(topic: &Topic, replication: i32) -> BTreeMap<&'static str, String> {
    let unlimited = || "-1".to_owned();
    let retention_ms = topic.retention.map(|retention| retention.as_millis().to_string());
    let mut settings = BTreeMap::from([
        (
            "cleanup.policy",
            if topic.compacted { "compact" } else { "delete" }.to_owned(),
        ),
        ("retention.ms", retention_ms.unwrap_or_else(unlimited)),
        (
            "retention.bytes",
            topic
                .retention_size
                .map_or_else(unlimited, |size| size.as_u64().to_string()),
        ),
        (
            "max.message.bytes",
            (topic.max_record.as_usize() + OVERHEAD).to_string(),
        ),
        (
            "min.insync.replicas",
            if replication >= 3 { "2" } else { "1" }.to_owned(),
        ),
        // Replay from an instant means when the log got a record, not what a writer's clock said.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
    ]);
    if topic.compacted {
        // A broker compacts what lies before the segment that it appends to, and only where enough of that is old: by its
        // defaults (1 GiB, 7 days, half) whoever takes a pool over reads a gigabyte of heartbeats first.
        let segment = SEGMENT.max(4 * topic.max_record.as_usize());
        settings.insert("segment.bytes", segment.to_string());
        settings.insert("segment.ms", "600000".to_owned());
        settings.insert("min.cleanable.dirty.ratio", "0.1".to_owned());
    }
    settings
}

/// The settings that differ from what `found` says.
pub(super) fn changed(
    wanted: &BTreeMap<&'static str, String>,
    found: impl Fn(&str) -> Option<String>,
) -> BTreeMap<&'static str, String> {
    let differs = |(name, value): &(&&'static str, &String)| found(name).as_ref() != Some(*value);
    wanted
        .iter()
        .filter(differs)
        .map(|(name, value)| (*name, value.clone()))
        .collect()
}

/// What to do about the number of partitions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Partitions {
    Right,
    /// Make it so many.
    More(usize),
    /// Leave it, and say why.
    Keep(&'static str),
}

pub(super) fn partitions(topic: &Topic, found: i32) -> Partitions {
    if topic.partitions == found {
        Partitions::Right
    } else if topic.name == OUTCOMES {
        Partitions::Keep("because who won is the first in partition order")
    } else if topic.partitions < found {
        Partitions::Keep("partitions are never taken away")
    } else {
        Partitions::More(topic.partitions as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_settings::ByteSize;

    use super::*;

    fn topic(name: &str, partitions: i32) -> Topic {
        Topic {
            name: name.to_owned(),
            partitions,
            retention: Some(Duration::from_hours(2)),
            retention_size: None,
            compacted: false,
            max_record: ByteSize::b(1_000),
            on_disk: false,
        }
    }

    #[test]
    fn partitions_are_added_but_never_taken_away_and_outcomes_keep_theirs() {
        assert_eq!(partitions(&topic("t", 6), 6), Partitions::Right);
        assert_eq!(partitions(&topic("t", 12), 6), Partitions::More(12));
        assert!(matches!(partitions(&topic("t", 3), 6), Partitions::Keep(_)));
        assert!(matches!(partitions(&topic(OUTCOMES, 12), 6), Partitions::Keep(_)));
    }

    #[test]
    fn only_what_differs_is_changed() {
        let wanted = settings(&topic("t", 1), 1);
        assert_eq!(wanted["retention.ms"], "7200000");
        let found = |name: &str| (name != "retention.ms").then(|| wanted[name].clone());
        assert_eq!(
            changed(&wanted, found).into_keys().collect::<Vec<_>>(),
            ["retention.ms"]
        );
        assert_eq!(settings(&topic("t", 1), 3)["min.insync.replicas"], "2");
    }

    #[test]
    fn compacted_topics_have_small_segments_that_hold_their_largest_record() {
        assert!(!settings(&topic("t", 1), 1).contains_key("segment.bytes"));
        for (max_record, segment) in [(ByteSize::mib(1), "16777216"), (ByteSize::mib(8), "33554432")] {
            let topic = Topic {
                compacted: true,
                max_record,
                ..topic("t", 1)
            };
            assert_eq!(settings(&topic, 1)["segment.bytes"], segment);
        }
    }
}
