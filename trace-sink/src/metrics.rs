//! What the sink counts. Tokens and cost come from winners alone.

use prometheus::{
    Histogram, HistogramOpts, HistogramTimer, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets,
};
use relay_schemas::{Outcome, OutcomeStatus};
use relay_store::Folded;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    outcomes: IntCounterVec,
    superseded: IntCounter,
    redelivered: IntCounter,
    tokens: IntCounterVec,
    cost_micro_usd: IntCounter,
    batch_records: Histogram,
    fold_seconds: Histogram,
    deleted: IntCounter,
}

/// What is counted of an outcome once it is known to have won.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    status: &'static str,
    prompt_tokens: u64,
    completion_tokens: u64,
    cost_micro_usd: u64,
}

impl Facts {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        Self {
            status: name(outcome.status),
            prompt_tokens: outcome.usage.prompt_tokens.0.into(),
            completion_tokens: outcome.usage.completion_tokens.0.into(),
            cost_micro_usd: u64::try_from(outcome.cost_micro_usd.0).unwrap_or(0),
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        // Every consumer of outcomes counts these, told apart by the label.
        let superseded = Opts::new(
            "relay_outcomes_superseded_total",
            "Outcomes ignored because another one won.",
        )
        .const_label("service", "trace-sink");
        let batch = HistogramOpts::new(
            "relay_trace_sink_batch_records",
            "Outcomes folded in one transaction.",
        )
        .buckets(exponential_buckets(1.0, 2.0, 10)?);
        // From one row in a warm file to a server that is about to be called away.
        let fold = HistogramOpts::new(
            "relay_trace_sink_fold_seconds",
            "Time one transaction took, seconds.",
        )
        .buckets(exponential_buckets(0.000_25, 2.0, 16)?);
        let metrics = Self {
            outcomes: IntCounterVec::new(
                Opts::new("relay_trace_sink_outcomes_total", "Requests ended, by status."),
                &["status"],
            )?,
            superseded: IntCounter::with_opts(superseded)?,
            redelivered: IntCounter::new(
                "relay_trace_sink_redelivered_total",
                "Outcomes read again that were folded before.",
            )?,
            tokens: IntCounterVec::new(
                Opts::new(
                    "relay_trace_sink_tokens_total",
                    "Tokens of ended requests, by kind.",
                ),
                &["kind"],
            )?,
            cost_micro_usd: IntCounter::new(
                "relay_trace_sink_cost_micro_usd_total",
                "Price of ended requests, millionths of a US dollar.",
            )?,
            batch_records: Histogram::with_opts(batch)?,
            fold_seconds: Histogram::with_opts(fold)?,
            deleted: IntCounter::new(
                "relay_trace_sink_traces_deleted_total",
                "Traces deleted after their retention.",
            )?,
        };
        for status in STATUSES {
            metrics.outcomes.with_label_values(&[name(status)]);
        }
        registry.register(Box::new(metrics.outcomes.clone()))?;
        registry.register(Box::new(metrics.superseded.clone()))?;
        registry.register(Box::new(metrics.redelivered.clone()))?;
        registry.register(Box::new(metrics.tokens.clone()))?;
        registry.register(Box::new(metrics.cost_micro_usd.clone()))?;
        registry.register(Box::new(metrics.batch_records.clone()))?;
        registry.register(Box::new(metrics.fold_seconds.clone()))?;
        registry.register(Box::new(metrics.deleted.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn folded(&self, folded: Folded, facts: Facts) {
        match folded {
            Folded::Superseded => self.superseded.inc(),
            Folded::Again => self.redelivered.inc(),
            Folded::Won => {
                self.outcomes.with_label_values(&[facts.status]).inc();
                self.tokens
                    .with_label_values(&["prompt"])
                    .inc_by(facts.prompt_tokens);
                self.tokens
                    .with_label_values(&["completion"])
                    .inc_by(facts.completion_tokens);
                self.cost_micro_usd.inc_by(facts.cost_micro_usd);
            }
        }
    }

    pub(crate) fn fold_began(&self, records: usize) -> HistogramTimer {
        self.batch_records.observe(records as f64);
        self.fold_seconds.start_timer()
    }

    pub(crate) fn deleted(&self, traces: u64) {
        self.deleted.inc_by(traces);
    }
}

/// Every status, for labels and for the list's filter.
pub(crate) const STATUSES: [OutcomeStatus; 7] = [
    OutcomeStatus::Completed,
    OutcomeStatus::Cached,
    OutcomeStatus::Rejected,
    OutcomeStatus::Failed,
    OutcomeStatus::Expired,
    OutcomeStatus::Cancelled,
    OutcomeStatus::Refused,
];

/// A status as people and metrics write it; the same word as in the records.
pub(crate) const fn name(status: OutcomeStatus) -> &'static str {
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
