//! What the sink counts. Tokens and cost come from winners alone.

use prometheus::{
    Histogram, IntCounter, IntCounterVec, IntGauge, Registry, exponential_buckets,
    register_histogram_with_registry as histogram, register_int_counter_vec_with_registry as counters,
    register_int_counter_with_registry as counter, register_int_gauge_with_registry as gauge,
};
use relay_clock::Clock;
use relay_runner::{Took, superseded_counter};
use relay_schemas::{Outcome, OutcomeStatus, Service};
use relay_store::Verdict;

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
    dead_letters: IntCounter,
    rebuilds: IntCounter,
    degraded: IntGauge,
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
            status: outcome.status.name(),
            prompt_tokens: outcome.usage.prompt_tokens.0.into(),
            completion_tokens: outcome.usage.completion_tokens.0.into(),
            cost_micro_usd: u64::try_from(outcome.cost_micro_usd.0).unwrap_or(0),
        }
    }
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            outcomes: counters!(
                "relay_trace_sink_outcomes_total",
                "Requests ended, by status.",
                &["status"],
                registry
            )?,
            superseded: superseded_counter(registry, Service::TraceSink)?,
            redelivered: counter!(
                "relay_trace_sink_redelivered_total",
                "Outcomes read again that were folded before.",
                registry
            )?,
            tokens: counters!(
                "relay_trace_sink_tokens_total",
                "Tokens of ended requests, by kind.",
                &["kind"],
                registry
            )?,
            cost_micro_usd: counter!(
                "relay_trace_sink_cost_micro_usd_total",
                "Price of ended requests, millionths of a US dollar.",
                registry
            )?,
            batch_records: histogram!(
                "relay_trace_sink_batch_records",
                "Outcomes folded in one transaction.",
                exponential_buckets(1.0, 2.0, 10)?,
                registry
            )?,
            // From one row in a warm file to a server that is about to be called away.
            fold_seconds: histogram!(
                "relay_trace_sink_fold_seconds",
                "Time one transaction took, seconds.",
                exponential_buckets(0.000_25, 2.0, 16)?,
                registry
            )?,
            deleted: counter!(
                "relay_trace_sink_traces_deleted_total",
                "Traces deleted after their retention.",
                registry
            )?,
            dead_letters: counter!(
                "relay_trace_sink_dead_letters_total",
                "Outcomes that could not be read or stored.",
                registry
            )?,
            rebuilds: counter!(
                "relay_trace_sink_rebuilds_total",
                "How often the tables lacked what was folded before and were rebuilt from the log.",
                registry
            )?,
            degraded: gauge!(
                "relay_trace_sink_degraded",
                "1 while the tables are away, cannot be written, or are being rebuilt.",
                registry
            )?,
        };
        for status in OutcomeStatus::ALL {
            metrics.outcomes.with_label_values(&[status.name()]);
        }
        Ok(metrics)
    }

    pub(crate) fn folded(&self, verdict: Verdict, facts: Facts) {
        match verdict {
            Verdict::Superseded => self.superseded.inc(),
            Verdict::Redelivered => self.redelivered.inc(),
            Verdict::Won => {
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

    pub(crate) fn fold_of(&self, records: usize, clock: &Clock) -> Took {
        self.batch_records.observe(records as f64);
        Took::of(&self.fold_seconds, clock)
    }

    pub(crate) fn dead(&self) {
        self.dead_letters.inc();
    }

    pub(crate) fn rebuilds(&self) {
        self.rebuilds.inc();
    }

    pub(crate) fn degraded(&self) -> IntGauge {
        self.degraded.clone()
    }

    pub(crate) fn deleted(&self, traces: u64) {
        self.deleted.inc_by(traces);
    }
}
