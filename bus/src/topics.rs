//! Topic names, and the manifest that says what each topic is. Nothing is ever auto-created.

use serde::{Deserialize, Serialize};

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
    pub pools: Vec<String>,
    /// Copies of each partition (Kafka).
    #[serde(default = "one")]
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
    pub partitions: i32,
    /// How long records are kept, hours; without it they are kept for ever (compacted topics).
    #[serde(default)]
    pub retention_hours: Option<u32>,
    /// Most bytes kept a partition.
    #[serde(default)]
    pub retention_bytes: Option<u64>,
    /// Whether only the newest record of a key is kept.
    #[serde(default)]
    pub compacted: bool,
    /// Largest record, bytes, key and headers included.
    #[serde(default = "one_mebibyte")]
    pub max_record_bytes: usize,
    /// Embedded bus: whether a publish is acknowledged only once it is on disk (else: once it is in the operating system).
    #[serde(default)]
    pub on_disk: bool,
}

fn one() -> i32 {
    1
}

fn one_mebibyte() -> usize {
    1_048_576
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// The YAML error with line and column, or what is wrong with which topic.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let manifest: Self = serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())?;
        if manifest.pools.is_empty() {
            return Err("`pools` names no pool; at least one is needed".to_owned());
        }
        for topic in &manifest.topics {
            if topic.partitions < 1 {
                return Err(format!(
                    "topic {}: `partitions` is {}, at least 1 is needed",
                    topic.name, topic.partitions
                ));
            }
        }
        Ok(manifest)
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
