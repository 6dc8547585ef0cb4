//! What the ingress counts.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector,
};

/// Every metric of the ingress. Labels come from closed sets: HTTP statuses, endpoints, reasons.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Responses by HTTP status.
    pub requests: IntCounterVec,
    /// Arrival to the end of the response, by endpoint.
    pub duration: HistogramVec,
    /// Responses that have not ended.
    pub active: IntGauge,
    /// Output tokens of answers that ended here.
    pub tokens: IntCounter,
    /// From handing a request to the log to its acknowledgement.
    pub accept: prometheus::Histogram,
    /// Arrival to the first byte of a streamed answer.
    pub first_byte: prometheus::Histogram,
    /// Questions asked because an answer was in doubt, by whom they were put to.
    pub questions: IntCounterVec,
    /// Frames nobody waited for.
    pub strays: IntCounter,
    /// Clients that went away before their answer ended.
    pub gone: IntCounter,
    /// Refusals recorded, and those over the bound that were not.
    pub refused: IntCounterVec,
    /// Batch lines, by what became of them.
    pub batch_lines: IntCounterVec,
    /// Batch results handed out.
    pub batch_results: IntCounter,
    /// Outcomes that another one had preceded.
    pub superseded: IntCounter,
}

/// From half a millisecond (a cache hit) to two minutes (the default deadline).
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 120.0,
];

impl Metrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// If another ingress registered in the same process.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(registry);
        Ok(Self {
            requests: make.counters(
                "llm_gateway_requests_total",
                "Responses by HTTP status.",
                "status",
            )?,
            duration: make.keep(HistogramVec::new(
                seconds(
                    "llm_gateway_request_duration_seconds",
                    "Arrival to the end of the response.",
                ),
                &["endpoint"],
            )?)?,
            active: make.keep(IntGauge::new(
                "llm_gateway_active_requests",
                "Responses that have not ended.",
            )?)?,
            tokens: make.counter(
                "llm_gateway_tokens_generated_total",
                "Output tokens of answers that ended here.",
            )?,
            accept: make.keep(prometheus::Histogram::with_opts(seconds(
                "relay_ingress_accept_seconds",
                "From handing a request to the log to its acknowledgement.",
            ))?)?,
            first_byte: make.keep(prometheus::Histogram::with_opts(seconds(
                "relay_ingress_first_byte_seconds",
                "Arrival to the first byte of a streamed answer.",
            ))?)?,
            questions: make.counters(
                "relay_ingress_questions_total",
                "Questions asked because an answer was in doubt.",
                "to",
            )?,
            strays: make.counter("relay_ingress_stray_frames_total", "Frames nobody waited for.")?,
            gone: make.counter(
                "relay_ingress_clients_gone_total",
                "Clients that went away before their answer ended.",
            )?,
            refused: make.counters(
                "relay_ingress_refused_total",
                "Refusals of known tenants.",
                "record",
            )?,
            batch_lines: make.counters(
                "relay_ingress_batch_lines_total",
                "Batch lines taken in.",
                "result",
            )?,
            batch_results: make.counter("relay_ingress_batch_results_total", "Batch results handed out.")?,
            superseded: make.keep(IntCounter::with_opts(
                // Every consumer of outcomes counts these, told apart by the label.
                Opts::new(
                    "relay_outcomes_superseded_total",
                    "Outcomes ignored because another one won.",
                )
                .const_label("service", "ingress"),
            )?)?,
        })
    }
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(SECONDS.to_vec())
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }
}
