//! Topic names, and the manifest that says what each topic is. Nothing is ever auto-created.

use std::time::Duration;

use relay_settings::{ByteSize, Mistake, Reading};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Accepted requests, by request id.
pub const REQUESTS: &str = "relay.requests.v1";
/// Planned requests, by exact cache key.
pub const PLANNED: &str = "relay.planned.v1";
/// Outcomes, by request id. Its partition count never changes.
pub const OUTCOMES: &str = "relay.outcomes.v1";
/// Batch lines in, by batch id.
pub const BATCH_REQUESTS: &str = "relay.batch.requests.v1";
/// Batch lines out, by batch id.
pub const BATCH_RESULTS: &str = "relay.batch.results.v1";
/// What no service could use.
pub const DEAD_LETTERS: &str = "relay.dead-letters.v1";
/// Every policy ever loaded, by version; compacted.
pub const POLICIES: &str = "relay.policies.v1";
/// Every writer's schema, by fingerprint; compacted.
pub const SCHEMAS: &str = "relay.schemas.v1";

/// What waits for `pool`, by tenant.
pub fn ready(pool: &str) -> String {
    format!("relay.ready.{pool}.v1")
}

/// What `pool`'s workers shall run from the short lane; the scheduler picks the partition.
pub fn work_short(pool: &str) -> String {
    format!("relay.work.{pool}.short.v1")
}

/// Likewise for the long lane.
pub fn work_long(pool: &str) -> String {
    format!("relay.work.{pool}.long.v1")
}

/// Leadership and snapshots of `pool`'s scheduler; one partition, compacted.
pub fn scheduler(pool: &str) -> String {
    format!("relay.scheduler.{pool}.v1")
}

/// `deploy/topics.yaml`: every topic, once. Names that hold `<pool>` stand for one topic a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Worker pools.
    #[serde(deserialize_with = "some_pools")]
    pub pools: Vec<String>,
    /// Copies of each partition (Kafka).
    #[serde(default = "one", deserialize_with = "at_least_one")]
    pub replication: i32,
    /// The topics.
    pub topics: Vec<Topic>,
}

/// One topic of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name; may hold `<pool>`.
    pub name: String,
    /// Its partitions.
    #[serde(deserialize_with = "at_least_one")]
    pub partitions: i32,
    /// How long records are kept; without it they are kept for ever (compacted topics).
    #[serde(default, with = "humantime_serde")]
    pub retention: Option<Duration>,
    /// Most bytes kept a partition.
    #[serde(default)]
    pub retention_size: Option<ByteSize>,
    /// Whether only the newest record of a key is kept.
    #[serde(default)]
    pub compacted: bool,
    /// Largest record, key and headers included.
    #[serde(default = "one_mebibyte")]
    pub max_record: ByteSize,
    /// Embedded bus: whether a publish is acknowledged only once it is on disk (else: once it is in the operating system).
    #[serde(default)]
    pub on_disk: bool,
}

fn one() -> i32 {
    1
}

fn some_pools<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let pools = Vec::deserialize(deserializer)?;
    if pools.is_empty() {
        return Err(D::Error::custom(
            "names no pool; at least one is needed, for example [default]",
        ));
    }
    Ok(pools)
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let number = i32::deserialize(deserializer)?;
    if number < 1 {
        return Err(D::Error::custom(format!("is {number}; at least 1 is needed")));
    }
    Ok(number)
}

fn one_mebibyte() -> ByteSize {
    ByteSize::mib(1)
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(yaml: &str) -> Result<Self, Mistake> {
        relay_settings::from_str(yaml)
    }

    /// What a manifest says, as far as it can be used, and all that is wrong with it.
    pub fn read(yaml: &str) -> Reading<Self> {
        relay_settings::read_all(yaml)
    }

    /// Every topic with `<pool>` replaced by each pool.
    pub fn expanded(&self) -> Vec<Topic> {
        let named = |topic: &Topic, pool: &str| Topic {
            name: topic.name.replace("<pool>", pool),
            ..topic.clone()
        };
        let expand = |topic: &Topic| -> Vec<Topic> {
            if topic.name.contains("<pool>") {
                self.pools.iter().map(|pool| named(topic, pool)).collect()
            } else {
                vec![topic.clone()]
            }
        };
        self.topics.iter().flat_map(expand).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_manifest_is_named_with_its_place() {
        for (text, said) in [
            (
                "pools: []\ntopics: []",
                "1:8: pools: names no pool; at least one is needed, for example [default]",
            ),
            (
                "pools: [a]\ntopics:\n- { name: t, partitions: 0 }",
                "3:26: topics[0].partitions: is 0; at least 1 is needed",
            ),
            (
                "pools: [a]\ntopics:\n- { name: t, partitions: 1, retention_hours: 72 }",
                "3:29: topics[0].retention_hours: `retention_hours` is spelled `retention: 3d` now",
            ),
            (
                "pools: [a]\ntopics:\n- { name: t, partitions: 1, max_record_bytes: 1114112 }",
                "3:29: topics[0].max_record_bytes: `max_record_bytes` is spelled `max_record: 1088KiB` now",
            ),
            (
                "pools: [a]\ntopics:\n- { name: t }",
                "3:3: topics[0]: `partitions` is missing",
            ),
        ] {
            assert_eq!(Manifest::parse(text).expect_err(text).to_string(), said);
        }
    }
}
