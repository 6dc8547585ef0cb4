//! What the ingress counts.

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry,
    register_histogram_vec_with_registry, register_histogram_with_registry as histogram,
    register_int_counter_vec_with_registry as counters, register_int_counter_with_registry as counter,
    register_int_gauge_with_registry,
};
use relay_runner::superseded_counter;
use relay_schemas::Service;

/// Every metric of the ingress. Labels come from closed sets (HTTP statuses, endpoints, reasons) or from [`crate::labels`].
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
    pub accept: Histogram,
    /// Arrival to the first byte of a streamed answer, by model.
    pub first_byte: HistogramVec,
    /// Responses by tenant, model, operation and HTTP status.
    pub told_apart: IntCounterVec,
    /// Tokens of answers that ended here, by tenant, model and kind.
    pub tokens_told_apart: IntCounterVec,
    /// Questions about answers that frames and log did not bring in time, by what was asked.
    pub questions: IntCounterVec,
    /// Frames that no client waited for.
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
    /// Accepted requests that nothing but the sweeper ended.
    pub swept: IntCounter,
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
        Ok(Self {
            requests: counters!(
                "llm_gateway_requests_total",
                "Responses by HTTP status.",
                &["status"],
                registry
            )?,
            duration: register_histogram_vec_with_registry!(
                "llm_gateway_request_duration_seconds",
                "Arrival to the end of the response.",
                &["endpoint"],
                SECONDS.to_vec(),
                registry
            )?,
            active: register_int_gauge_with_registry!(
                "llm_gateway_active_requests",
                "Responses that have not ended.",
                registry
            )?,
            tokens: counter!(
                "llm_gateway_tokens_generated_total",
                "Output tokens of answers that ended here.",
                registry
            )?,
            accept: histogram!(
                "relay_ingress_accept_seconds",
                "From handing a request to the log to its acknowledgement.",
                SECONDS.to_vec(),
                registry
            )?,
            first_byte: register_histogram_vec_with_registry!(
                "relay_ingress_first_byte_seconds",
                "Arrival to the first byte of a streamed answer.",
                &["model"],
                SECONDS.to_vec(),
                registry
            )?,
            told_apart: counters!(
                "relay_requests_total",
                "Responses by tenant, model, operation and HTTP status; `other` beyond what is told apart.",
                &["tenant", "model", "operation", "status"],
                registry
            )?,
            tokens_told_apart: counters!(
                "relay_tokens_total",
                "Tokens of answers that ended here, by tenant, model and kind (prompt, completion).",
                &["tenant", "model", "kind"],
                registry
            )?,
            questions: counters!(
                "relay_ingress_questions_total",
                "Questions about answers that frames and log did not bring in time, by what was asked.",
                &["to"],
                registry
            )?,
            strays: counter!(
                "relay_ingress_stray_frames_total",
                "Frames that no client waited for.",
                registry
            )?,
            gone: counter!(
                "relay_ingress_clients_gone_total",
                "Clients that went away before their answer ended.",
                registry
            )?,
            refused: counters!(
                "relay_ingress_refused_total",
                "Refusals of known tenants.",
                &["record"],
                registry
            )?,
            batch_lines: counters!(
                "relay_ingress_batch_lines_total",
                "Batch lines taken in.",
                &["result"],
                registry
            )?,
            batch_results: counter!(
                "relay_ingress_batch_results_total",
                "Batch results handed out.",
                registry
            )?,
            superseded: superseded_counter(registry, Service::Ingress)?,
            swept: counter!(
                "relay_requests_swept_total",
                "Accepted requests that no service ended in time, and the sweeper ended: should stay 0.",
                registry
            )?,
        })
    }
}
