//! What can be set.

use serde::Deserialize;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// The trace sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most outcomes that are read and not yet folded.
    pub max_in_flight: usize,
    /// Most outcomes in one transaction.
    pub batch_records: usize,
    /// Bytes of outcomes from which on a transaction takes no more.
    pub batch_bytes: usize,
    /// The longest that a started batch waits for more, milliseconds.
    pub batch_wait_ms: u64,
    /// How long traces are kept, hours.
    pub traces_kept_hours: u32,
    /// How long it is remembered who won, hours: at least as long as `relay.outcomes.v1` keeps its records.
    pub winners_kept_hours: u32,
    /// How often what is too old is deleted, milliseconds.
    pub retention_interval_ms: u64,
    /// How often the store is looked after when nothing is folded, milliseconds.
    pub probe_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            batch_records: 256,
            batch_bytes: 16 * 1024 * 1024,
            batch_wait_ms: 5,
            traces_kept_hours: 30 * 24,
            winners_kept_hours: 30 * 24,
            retention_interval_ms: 10 * 60 * 1_000,
            probe_interval_ms: 2_000,
        }
    }
}

impl Config {
    /// How long traces are kept, milliseconds.
    pub(crate) fn traces_kept_ms(&self) -> i64 {
        i64::from(self.traces_kept_hours) * HOUR_MS
    }

    /// How long winners are remembered, milliseconds; a trace never outlives the memory of who won.
    pub(crate) fn winners_kept_ms(&self) -> i64 {
        i64::from(self.winners_kept_hours.max(self.traces_kept_hours)) * HOUR_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_won_is_remembered_at_least_as_long_as_the_trace() {
        let config = Config {
            traces_kept_hours: 48,
            winners_kept_hours: 1,
            ..Config::default()
        };
        assert_eq!(config.winners_kept_ms(), config.traces_kept_ms());
    }
}
