//! The metrics that every stage has, whatever it does.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use relay_schemas::Service;

use crate::dead_letter::{EXHAUSTED, POISON};

/// From 100 µs (one embedded hop) to 100 s (a long generation).
const SECONDS: [f64; 13] = [
    0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0,
];

/// Labels: `service` and `group`, the same for the life of the stage. Taken out of the registry when the stage ends, so that
/// it can be started again.
pub(super) struct Metrics {
    registry: Registry,
    registered: usize,
    pub(super) records_in: IntCounter,
    pub(super) records_out: IntCounter,
    pub(super) in_flight: IntGauge,
    pub(super) retries: IntCounter,
    pub(super) dead_letters: IntCounterVec,
    pub(super) texts_dropped: IntCounter,
    pub(super) record_seconds: Histogram,
    pub(super) publish_seconds: Histogram,
}

impl Metrics {
    pub(super) fn register(
        registry: &Registry,
        service: Service,
        group: &str,
    ) -> Result<Self, prometheus::Error> {
        let opts = |name: &str, help: &str| {
            Opts::new(format!("relay_runner_{name}"), help)
                .const_label("service", service.name())
                .const_label("group", group)
        };
        let histogram = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(SECONDS.to_vec()))
        };
        let classes = opts("dead_letters_total", "Records given up, by class.");
        let mut metrics = Self {
            registry: registry.clone(),
            registered: 0,
            records_in: IntCounter::with_opts(opts("records_in_total", "Records taken from the bus."))?,
            records_out: IntCounter::with_opts(opts(
                "records_out_total",
                "Records acknowledged by the bus.",
            ))?,
            in_flight: IntGauge::with_opts(opts("in_flight_records", "Records taken and not yet finished."))?,
            retries: IntCounter::with_opts(opts("retries_total", "Records tried once more."))?,
            dead_letters: IntCounterVec::new(classes, &["class"])?,
            texts_dropped: IntCounter::with_opts(opts(
                "texts_dropped_total",
                "Outcomes published without their text because they were too large.",
            ))?,
            record_seconds: histogram("record_seconds", "Time a stage took to decide about a record.")?,
            publish_seconds: histogram("publish_seconds", "Time from a publish to its acknowledgement.")?,
        };
        for class in [POISON, EXHAUSTED] {
            metrics.dead_letters.with_label_values(&[class]);
        }
        for collector in metrics.collectors() {
            registry.register(collector)?;
            metrics.registered += 1;
        }
        Ok(metrics)
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.records_in.clone()),
            Box::new(self.records_out.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.texts_dropped.clone()),
            Box::new(self.record_seconds.clone()),
            Box::new(self.publish_seconds.clone()),
        ]
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        for collector in self.collectors().into_iter().take(self.registered) {
            // It was registered under this very description, so there is nothing that could fail.
            drop(self.registry.unregister(collector));
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, TextEncoder};

    use super::*;

    /// `le="0.0009999999999999998"` stood where 0.001 was meant.
    #[test]
    fn buckets_are_told_without_noise() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry, Service::Planner, "g").expect("nothing is registered yet");
        metrics.record_seconds.observe(0.5);
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&registry.gather(), &mut text)
            .expect("it is text");
        let text = String::from_utf8(text).expect("it is text");
        let bounds: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once("le=\"")?.1.split('"').next())
            .collect();
        assert!(bounds.contains(&"0.001"), "{bounds:?}");
        assert!(bounds.iter().all(|bound| bound.len() <= 6), "{bounds:?}");
    }
}
