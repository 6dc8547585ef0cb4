//! What the Kafka clients count.

use prometheus::{IntCounterVec, Opts, Registry};

/// Clients that were replaced, by what they are for. Cheap to clone.
#[derive(Clone)]
pub(super) struct Metrics {
    replaced: IntCounterVec,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let opts = Opts::new(
            "relay_kafka_clients_replaced_total",
            "Kafka clients that could not go on, or did not though there was something to read, and were replaced.",
        );
        let replaced =
            IntCounterVec::new(opts, &["client"]).expect("a name and a label that prometheus takes");
        for client in ["producer", "questions", "admin", "reader", "member"] {
            replaced.with_label_values(&[client]);
        }
        Self { replaced }
    }

    pub(super) fn replaced(&self, client: &str) {
        self.replaced.with_label_values(&[client]).inc();
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.replaced.clone()))
    }
}
