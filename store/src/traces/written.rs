//! What is written of an outcome: [`TraceRow`](super::row::TraceRow)'s columns as both databases take them, each encoded once, and
//! nothing of the outcome copied before.

use std::borrow::Cow;

use relay_schemas::{HandOver, Outcome, Planning, RuleTrace, TimestampMs};
use serde::Serialize;

use super::row::text;
use crate::asked::{Asked, without_content};
use crate::logged::LoggedOutcome;

/// A row to be written; `_json` are JSON texts.
pub(crate) struct WrittenRow {
    pub request_id: String,
    pub log_partition: i64,
    pub log_offset: i64,
    pub tenant: String,
    pub status: &'static str,
    pub code: Option<String>,
    pub message: Option<String>,
    pub retry_after_ms: Option<i64>,
    pub model: String,
    pub executed_model: Option<String>,
    pub policy_version: Option<String>,
    pub run_json: String,
    pub request_json: Option<String>,
    pub plan_json: Option<String>,
    pub decision_trace_json: Option<String>,
    pub cache_json: Option<String>,
    pub queue_json: Option<String>,
    pub lease_json: Option<String>,
    pub response_json: Option<String>,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cost_micro_usd: i64,
    pub latency_ms: i64,
    pub ttft_ms: Option<i64>,
    pub backend_latency_ms: Option<i64>,
    pub queue_wait_ms: Option<i64>,
    pub compute_ms: i64,
    pub ended_at: i64,
    pub end_user: Option<String>,
    pub metadata: Option<String>,
    pub traceparent: Option<String>,
}

/// [`DecisionTrace`](super::row::DecisionTrace), borrowed.
#[derive(Serialize)]
struct Decisions<'a> {
    rules: &'a [RuleTrace],
    adjustments: &'a [String],
    handovers: &'a [HandOver],
    planned_at: TimestampMs,
}

impl From<&LoggedOutcome> for WrittenRow {
    fn from(logged: &LoggedOutcome) -> Self {
        let asked = Asked::of(logged.outcome.request.as_deref());
        let outcome = &*kept(&logged.outcome, &asked);
        let planning = outcome.planning.as_ref();
        Self {
            request_id: text(outcome.request_id.as_str()),
            log_partition: logged.partition.into(),
            log_offset: logged.offset,
            tenant: text(outcome.tenant.as_str()),
            status: outcome.status.name(),
            code: outcome.code.as_deref().map(text),
            message: outcome.message.as_deref().map(text),
            retry_after_ms: outcome.retry_after_ms,
            model: text(model(outcome)),
            executed_model: outcome.answer.as_ref().map(|answer| text(&answer.model)),
            policy_version: planning.map(|planning| text(&planning.plan.policy_version)),
            run_json: json(&outcome.run),
            request_json: outcome.request.as_ref().map(json),
            plan_json: planning.map(|planning| json(&planning.plan)),
            decision_trace_json: planning.map(|planning| json(&Decisions::of(planning))),
            cache_json: outcome.caching.as_ref().map(json),
            queue_json: outcome.queueing.as_ref().map(json),
            lease_json: outcome.lease.as_ref().map(json),
            response_json: outcome.answer.as_ref().map(json),
            prompt_tokens: outcome.usage.prompt_tokens.0.into(),
            completion_tokens: outcome.usage.completion_tokens.0.into(),
            cost_micro_usd: outcome.cost_micro_usd.0,
            latency_ms: outcome.timings.latency_ms,
            ttft_ms: outcome.timings.ttft_ms,
            backend_latency_ms: outcome.timings.backend_latency_ms,
            queue_wait_ms: outcome.queueing.as_ref().map(|queueing| queueing.queue_wait_ms),
            compute_ms: outcome.timings.compute_ms,
            ended_at: outcome.ended_at.0,
            end_user: asked.user.as_deref().map(text),
            // JSON's own escapes leave no U+0000 in it.
            metadata: asked.metadata.as_ref().map(json),
            traceparent: logged.traceparent.as_deref().map(text),
        }
    }
}

impl<'a> Decisions<'a> {
    fn of(planning: &'a Planning) -> Self {
        Self {
            rules: &planning.rules,
            adjustments: &planning.adjustments,
            handovers: &planning.handovers,
            planned_at: planning.planned_at,
        }
    }
}

/// What may be kept of `outcome`: all of it, unless its request does not want that.
fn kept<'a>(outcome: &'a Outcome, asked: &Asked) -> Cow<'a, Outcome> {
    let mut outcome = Cow::Borrowed(outcome);
    if !asked.keeps_content {
        without_content(outcome.to_mut());
    }
    outcome
}

/// The name that the client used: one model has one name, whichever one ran.
fn model(outcome: &Outcome) -> &str {
    match (&outcome.request, &outcome.answer) {
        (Some(request), _) => &request.model,
        (None, Some(answer)) => &answer.model,
        (None, None) => "",
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("records hold nothing that JSON has no word for")
}
