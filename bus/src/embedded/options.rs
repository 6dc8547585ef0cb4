//! What can be set about the embedded log.

use std::time::Duration;

use relay_settings::ByteSize;
use serde::Deserialize;

/// Limits of the embedded log; the defaults keep it under 60 MB of memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedOptions {
    /// Size at which a segment file is closed; retention and compaction give back closed segments.
    pub segment_size: ByteSize,
    /// A segment that holds anything is closed after this time at the latest, so that retention by time moves on.
    #[serde(with = "humantime_serde")]
    pub segment_age: Duration,
    /// Room on the disk that is kept for what was accepted: new requests are refused below it. Without it the smaller of
    /// 256 MiB and 5 % of the disk.
    pub disk_reserve: Option<ByteSize>,
    /// Most bytes of newest records kept in memory, over all partitions.
    pub tail_size: ByteSize,
    /// How long a record stays among them at most (looked at every `tidy_interval`): a log that is at rest holds no memory.
    #[serde(with = "humantime_serde")]
    pub tail_age: Duration,
    /// Most bytes on their way into the log; publishers wait beyond it.
    pub queue_size: ByteSize,
    /// Most bytes one `next()` returns (at least one record).
    pub fetch_size: ByteSize,
    /// Most records one `next()` returns.
    pub fetch_records: usize,
    /// How long a disk that refuses to read is asked again before a record counts as damaged.
    #[serde(with = "humantime_serde")]
    pub read_patience: Duration,
    /// How often retention and compaction are looked at.
    #[serde(with = "humantime_serde")]
    pub tidy_interval: Duration,
    /// How long a compacted topic keeps a record after a newer one of its key.
    #[serde(with = "humantime_serde")]
    pub compaction_lag: Duration,
    /// How long retention waits after a start, and after a jump of the clock.
    #[serde(with = "humantime_serde")]
    pub retention_grace: Duration,
    /// How long a group that nobody joins any more is remembered; until then nothing that it has not read is let go.
    #[serde(with = "humantime_serde")]
    pub group_retention: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            segment_size: ByteSize::mib(32),
            segment_age: Duration::from_mins(30),
            disk_reserve: None,
            tail_size: ByteSize::mib(16),
            tail_age: Duration::from_secs(10),
            queue_size: ByteSize::mib(64),
            fetch_size: ByteSize::mib(1),
            fetch_records: 512,
            read_patience: Duration::from_secs(10),
            tidy_interval: Duration::from_secs(10),
            compaction_lag: Duration::from_mins(1),
            retention_grace: Duration::from_hours(1),
            group_retention: Duration::from_hours(7 * 24),
        }
    }
}
