//! What a worker counts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};
use relay_schemas::OutcomeStatus;

/// The worker's metrics.
pub struct Metrics {
    /// Runs, by how they ended.
    pub runs: IntCounterVec,
    /// Work records passed over, by reason.
    pub skipped: IntCounterVec,
    /// Requests held, by lane.
    pub in_flight: IntGaugeVec,
    /// Start of a run to its first token.
    pub first_token_seconds: Histogram,
    /// Start of a run to its end.
    pub run_seconds: Histogram,
    /// Prompt tokens of all runs.
    pub prompt_tokens: IntCounter,
    /// Tokens of all answers.
    pub completion_tokens: IntCounter,
    /// Runs that went on to another candidate.
    pub fallbacks: IntCounter,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        // From 1 ms (a remote mock) to 65 s (a long answer on a small machine), in doublings.
        let buckets = || exponential_buckets(0.001, 2.0, 17);
        let histogram =
            |name: &str, help: &str| Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets()?));
        let metrics = Self {
            runs: IntCounterVec::new(
                Opts::new("relay_workers_runs_total", "Runs, by how they ended."),
                &["status"],
            )?,
            skipped: IntCounterVec::new(
                Opts::new(
                    "relay_workers_skipped_total",
                    "Work records passed over, by reason.",
                ),
                &["reason"],
            )?,
            in_flight: IntGaugeVec::new(
                Opts::new("relay_workers_in_flight_requests", "Requests held, by lane."),
                &["lane"],
            )?,
            first_token_seconds: histogram(
                "relay_workers_first_token_seconds",
                "Start of a run to its first token.",
            )?,
            run_seconds: histogram("relay_workers_run_seconds", "Start of a run to its end.")?,
            prompt_tokens: IntCounter::new(
                "relay_workers_prompt_tokens_total",
                "Prompt tokens of all runs.",
            )?,
            completion_tokens: IntCounter::new(
                "relay_workers_completion_tokens_total",
                "Tokens of all answers.",
            )?,
            fallbacks: IntCounter::new(
                "relay_workers_fallbacks_total",
                "Runs that went on to another candidate.",
            )?,
        };
        registry.register(Box::new(metrics.runs.clone()))?;
        registry.register(Box::new(metrics.skipped.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.first_token_seconds.clone()))?;
        registry.register(Box::new(metrics.run_seconds.clone()))?;
        registry.register(Box::new(metrics.prompt_tokens.clone()))?;
        registry.register(Box::new(metrics.completion_tokens.clone()))?;
        registry.register(Box::new(metrics.fallbacks.clone()))?;
        Ok(metrics)
    }
}

/// A status as labels spell it.
pub const fn status_name(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Completed => "completed",
        OutcomeStatus::Cached => "cached",
        OutcomeStatus::Rejected => "rejected",
        OutcomeStatus::Failed => "failed",
        OutcomeStatus::Expired => "expired",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Refused => "refused",
    }
}
