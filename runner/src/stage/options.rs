//! What the runner needs to know about a stage's group, and its limits.

use std::time::Duration;

/// How a stage is run. [`StageOptions::new`] gives defaults for all but the group and the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOptions {
    /// The consumer group, `relay.<service>` by convention.
    pub group: String,
    /// The topics it reads.
    pub topics: Vec<String>,
    /// Most records that are taken and not yet finished, in this process.
    pub max_in_flight: usize,
    /// Whether one record is decided after the other, all partitions in turn; their publishes still overlap.
    pub in_order: bool,
    /// How often a record is tried before [`crate::StageError::Retry`] makes it a dead letter; at least 1.
    pub max_attempts: u32,
    /// The wait after the first failed try; doubles with each one, with jitter.
    pub retry_base: Duration,
    /// The longest wait between two tries, also while a dependency is down.
    pub retry_max: Duration,
    /// Most bytes of a record's value that its dead letter keeps.
    pub dead_letter_bytes: usize,
}

impl StageOptions {
    /// The defaults.
    pub fn new(group: impl Into<String>, topics: Vec<String>) -> Self {
        Self {
            group: group.into(),
            topics,
            max_in_flight: 256,
            in_order: false,
            max_attempts: 5,
            retry_base: Duration::from_millis(50),
            retry_max: Duration::from_secs(2),
            dead_letter_bytes: 64 * 1024,
        }
    }
}
