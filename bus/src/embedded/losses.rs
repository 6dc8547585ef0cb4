//! Counts what the log could not keep; all of it should stay 0.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The counters.
pub(super) struct Losses {
    dropped: IntCounterVec,
    damaged: IntCounterVec,
    lost: IntCounter,
}

impl Default for Losses {
    fn default() -> Self {
        let by_topic = |name, help| {
            let counter = IntCounterVec::new(Opts::new(name, help), &["topic"]);
            counter.expect("a counter with a literal name")
        };
        let lost = IntCounter::new(
            "relay_log_lost_entries_total",
            "Records and commits that the disk had taken and did not give back, after a failed sync or at opening; should stay 0.",
        );
        Self {
            dropped: by_topic(
                "relay_log_dropped_unread_total",
                "Records that `retention_size` let go before a group had read them; should stay 0.",
            ),
            damaged: by_topic(
                "relay_log_damaged_reads_total",
                "Records that were read and found damaged, each as often as it was read; should stay 0.",
            ),
            lost: lost.expect("a counter with a literal name"),
        }
    }
}

impl Losses {
    /// Retention let `records` go that a group had still to read.
    pub(super) fn dropped(&self, topic: &str, records: i64) {
        self.dropped
            .with_label_values(&[topic])
            .inc_by(records.unsigned_abs());
    }

    /// A damaged record was read.
    pub(super) fn damaged(&self, topic: &str) {
        self.damaged.with_label_values(&[topic]).inc();
    }

    /// The disk lost so many entries.
    pub(super) fn lost(&self, entries: u64) {
        self.lost.inc_by(entries);
    }

    /// Shows them among the metrics of `registry`.
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.dropped.clone()))?;
        registry.register(Box::new(self.damaged.clone()))?;
        registry.register(Box::new(self.lost.clone()))
    }
}
