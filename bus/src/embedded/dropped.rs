//! Counts what retention let go before a group had read it; it should stay 0.

use prometheus::{IntCounterVec, Opts, Registry};

/// The counter, by topic.
pub(super) struct Dropped(IntCounterVec);

impl Default for Dropped {
    fn default() -> Self {
        let opts = Opts::new(
            "relay_log_dropped_unread_total",
            "Records that `retention_size` let go before a group had read them; should stay 0.",
        );
        Self(IntCounterVec::new(opts, &["topic"]).expect("a counter with a literal name"))
    }
}

impl Dropped {
    pub(super) fn count(&self, topic: &str, records: i64) {
        self.0.with_label_values(&[topic]).inc_by(records.unsigned_abs());
    }

    /// Shows it among the metrics of `registry`.
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.0.clone()))
    }
}
