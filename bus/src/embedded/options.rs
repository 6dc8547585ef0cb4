//! What can be set about the embedded log.

use serde::Deserialize;

/// Limits of the embedded log; the defaults keep it under 60 MB of memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedOptions {
    /// Bytes after which an epoch is closed and its memtable written out. Small ones keep the tail short (DESIGN.md).
    pub epoch_bytes: u64,
    /// An epoch that holds anything is closed after this time at the latest, so that retention by time and the journal move on.
    pub epoch_age_ms: u64,
    /// Block cache, bytes; only replays from disk use it.
    pub cache_bytes: u64,
    /// Most bytes of newest records kept in memory, over all partitions.
    pub tail_bytes: usize,
    /// Most bytes on their way into the log; publishers wait beyond it.
    pub queue_bytes: usize,
    /// Most bytes one `next()` returns (at least one record).
    pub fetch_bytes: usize,
    /// Most records one `next()` returns.
    pub fetch_records: usize,
    /// How often retention and compaction are looked at.
    pub tidy_interval_ms: u64,
    /// How long a compacted topic keeps a record after a newer one of its key.
    pub compaction_lag_ms: i64,
    /// Most bytes of journal files.
    pub journal_bytes: u64,
    /// Writes down after each sync how much of the journal is on disk (`last-sync`), so that a test can cut the log back to
    /// it as a power loss would; see [`super::cut_to_last_sync`]. Linux only.
    pub record_syncs: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            epoch_bytes: 2 << 20,
            epoch_age_ms: 600_000,
            cache_bytes: 4 << 20,
            tail_bytes: 16 << 20,
            queue_bytes: 64 << 20,
            fetch_bytes: 1 << 20,
            fetch_records: 512,
            tidy_interval_ms: 10_000,
            compaction_lag_ms: 60_000,
            journal_bytes: 256 << 20,
            record_syncs: false,
        }
    }
}
