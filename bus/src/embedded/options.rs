//! What can be set about the embedded log.

use std::time::Duration;

use relay_settings::ByteSize;
use serde::Deserialize;

/// Limits of the embedded log; the defaults keep it under 60 MB of memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedOptions {
    /// Size at which an epoch is closed and its memtable written out. Small ones keep the tail short (DESIGN.md).
    pub epoch_size: ByteSize,
    /// An epoch that holds anything is closed after this time at the latest, so that retention by time and the journal move on.
    #[serde(with = "humantime_serde")]
    pub epoch_age: Duration,
    /// Block cache; only replays from disk use it.
    pub cache_size: ByteSize,
    /// Most bytes of newest records kept in memory, over all partitions.
    pub tail_size: ByteSize,
    /// Most bytes on their way into the log; publishers wait beyond it.
    pub queue_size: ByteSize,
    /// Most bytes one `next()` returns (at least one record).
    pub fetch_size: ByteSize,
    /// Most records one `next()` returns.
    pub fetch_records: usize,
    /// How often retention and compaction are looked at.
    #[serde(with = "humantime_serde")]
    pub tidy_interval: Duration,
    /// How long a compacted topic keeps a record after a newer one of its key.
    #[serde(with = "humantime_serde")]
    pub compaction_lag: Duration,
    /// Most bytes of journal files.
    pub journal_size: ByteSize,
    /// Writes down after each sync how much of the journal is on disk (`last-sync`), so that a test can cut the log back to
    /// it as a power loss would; see [`super::cut_to_last_sync`]. Linux only.
    pub record_syncs: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            epoch_size: ByteSize::mib(2),
            epoch_age: Duration::from_mins(10),
            cache_size: ByteSize::mib(4),
            tail_size: ByteSize::mib(16),
            queue_size: ByteSize::mib(64),
            fetch_size: ByteSize::mib(1),
            fetch_records: 512,
            tidy_interval: Duration::from_secs(10),
            compaction_lag: Duration::from_mins(1),
            journal_size: ByteSize::mib(256),
            record_syncs: false,
        }
    }
}
