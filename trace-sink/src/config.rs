//! What can be set.

use std::time::Duration;

use relay_clock::millis;
use relay_settings::ByteSize;
use serde::Deserialize;

use crate::folding::Limits;

/// The trace sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most outcomes in one transaction.
    pub batch_records: usize,
    /// Bytes of outcomes from which on a transaction takes no more.
    pub batch_size: ByteSize,
    /// The longest that a started batch waits for more; a fifth of it while few come.
    #[serde(with = "humantime_serde")]
    pub batch_wait: Duration,
    /// How long traces are kept.
    #[serde(with = "humantime_serde")]
    pub traces_kept: Duration,
    /// How long it is remembered who won: at least as long as `relay.outcomes.v1` keeps its records.
    #[serde(with = "humantime_serde")]
    pub winners_kept: Duration,
    /// How often what is too old is deleted.
    #[serde(with = "humantime_serde")]
    pub retention_interval: Duration,
    /// How long nothing is deleted after a start, and after a jump of the clock.
    #[serde(with = "humantime_serde")]
    pub retention_grace: Duration,
    /// How often the tables are looked at: whether they are there, and stand where they stood.
    #[serde(with = "humantime_serde")]
    pub probe_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_records: 256,
            batch_size: ByteSize::mib(16),
            batch_wait: Duration::from_millis(25),
            traces_kept: Duration::from_hours(30 * 24),
            winners_kept: Duration::from_hours(30 * 24),
            retention_interval: Duration::from_mins(10),
            retention_grace: Duration::from_hours(1),
            probe_interval: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// How much one transaction takes.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            records: self.batch_records,
            bytes: self.batch_size.as_usize(),
            wait: self.batch_wait,
            look_every: self.probe_interval,
        }
    }

    /// How long traces are kept, milliseconds.
    pub(crate) fn traces_kept_ms(&self) -> i64 {
        millis(self.traces_kept)
    }

    /// How long winners are remembered, milliseconds; a trace never outlives the memory of who won.
    pub(crate) fn winners_kept_ms(&self) -> i64 {
        millis(self.winners_kept.max(self.traces_kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_won_is_remembered_at_least_as_long_as_the_trace() {
        let config = Config {
            traces_kept: Duration::from_hours(48),
            winners_kept: Duration::from_hours(1),
            ..Config::default()
        };
        assert_eq!(config.winners_kept_ms(), config.traces_kept_ms());
    }

    #[test]
    fn what_is_kept_longer_than_can_be_counted_is_kept_for_ever() {
        let config: Config =
            relay_settings::from_str("traces_kept: 109500000000d").expect("humantime reads it");
        assert_eq!(
            (config.traces_kept_ms(), config.winners_kept_ms()),
            (i64::MAX, i64::MAX)
        );
    }
}
