//! The row of a trace, the same in both databases, and the way from it to the outcome that it was written of.

use std::sync::Arc;

use relay_schemas::{
    Answer, Caching, HandOver, Lease, MicroUsd, Outcome, OutcomeStatus, Plan, Planning, Queueing, Request,
    RuleTrace, Run, TimestampMs, Timings, TokenCount, Usage,
};
use serde::Deserialize;
use sqlx::FromRow;

use crate::error::{StoreError, unreadable};
use crate::logged::LoggedOutcome;

/// Every column, in the order in which both databases bind what is written.
pub(super) const COLUMNS: &str = "request_id, log_partition, log_offset, tenant, status, code, message, retry_after_ms, \
     model, executed_model, policy_version, run_json, request_json, plan_json, decision_trace_json, cache_json, queue_json, lease_json, \
     response_json, prompt_tokens, completion_tokens, cost_micro_usd, latency_ms, ttft_ms, backend_latency_ms, \
     queue_wait_ms, compute_ms, ended_at, end_user, metadata, traceparent";

/// What of a row tells the outcome that it was written of; the other columns are there to be found by.
#[derive(FromRow)]
pub(crate) struct TraceRow {
    pub request_id: String,
    pub log_partition: i64,
    pub log_offset: i64,
    pub tenant: String,
    pub status: String,
    pub code: Option<String>,
    pub message: Option<String>,
    pub retry_after_ms: Option<i64>,
    #[sqlx(json)]
    pub run_json: Run,
    #[sqlx(json(nullable))]
    pub request_json: Option<Arc<Request>>,
    #[sqlx(json(nullable))]
    pub plan_json: Option<Plan>,
    #[sqlx(json(nullable))]
    pub decision_trace_json: Option<DecisionTrace>,
    #[sqlx(json(nullable))]
    pub cache_json: Option<Arc<Caching>>,
    #[sqlx(json(nullable))]
    pub queue_json: Option<Queueing>,
    #[sqlx(json(nullable))]
    pub lease_json: Option<Lease>,
    #[sqlx(json(nullable))]
    pub response_json: Option<Arc<Answer>>,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cost_micro_usd: i64,
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub compute_ms: i64,
    pub ended_at: i64,
    pub traceparent: Option<String>,
}

/// Why the plan is what it is: what [`Planning`] holds besides the plan.
#[derive(Deserialize)]
pub(crate) struct DecisionTrace {
    rules: Vec<RuleTrace>,
    adjustments: Vec<String>,
    #[serde(default)]
    handovers: Vec<HandOver>,
    planned_at: TimestampMs,
}

impl TryFrom<TraceRow> for LoggedOutcome {
    type Error = StoreError;

    fn try_from(row: TraceRow) -> Result<Self, StoreError> {
        let outcome = Outcome {
            request_id: row.request_id.as_str().into(),
            tenant: row.tenant.as_str().into(),
            status: status(&row.status)?,
            code: row.code,
            message: row.message,
            retry_after_ms: row.retry_after_ms,
            run: row.run_json,
            request: row.request_json,
            planning: row.plan_json.zip(row.decision_trace_json).map(join).map(Arc::new),
            caching: row.cache_json,
            queueing: row.queue_json,
            lease: row.lease_json,
            answer: row.response_json,
            usage: usage(row.prompt_tokens, row.completion_tokens)?,
            cost_micro_usd: MicroUsd(row.cost_micro_usd),
            timings: Timings {
                latency_ms: row.latency_ms,
                ttft_ms: row.ttft_ms,
                backend_latency_ms: row.backend_latency_ms,
                compute_ms: row.compute_ms,
            },
            ended_at: TimestampMs(row.ended_at),
        };
        Ok(Self {
            outcome: outcome.into(),
            partition: row.log_partition.try_into().map_err(unreadable)?,
            offset: row.log_offset,
            traceparent: row.traceparent,
        })
    }
}

/// How a status is read from its column.
pub(super) fn status(word: &str) -> Result<OutcomeStatus, StoreError> {
    let known = OutcomeStatus::ALL
        .into_iter()
        .find(|status| status.name() == word);
    known.ok_or_else(|| unreadable(format!("no status is called {word}")))
}

/// How usage is read from its columns.
pub(super) fn usage(prompt_tokens: i64, completion_tokens: i64) -> Result<Usage, StoreError> {
    Ok(Usage {
        prompt_tokens: TokenCount(prompt_tokens.try_into().map_err(unreadable)?),
        completion_tokens: TokenCount(completion_tokens.try_into().map_err(unreadable)?),
    })
}

fn join((plan, decision_trace): (Plan, DecisionTrace)) -> Planning {
    Planning {
        plan,
        rules: decision_trace.rules,
        adjustments: decision_trace.adjustments,
        handovers: decision_trace.handovers,
        planned_at: decision_trace.planned_at,
    }
}

/// As it is kept, and asked for: Postgres has no U+0000 in text.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
