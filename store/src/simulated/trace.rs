//! A trace as the tables keep it: cleaned as a row of theirs is.

use serde::de::DeserializeOwned;

use crate::error::{StoreError, unreadable};
use crate::logged::LoggedOutcome;
use crate::traces::list::entries;
use crate::traces::row::{TraceRow, text};
use crate::traces::written::WrittenRow;
use crate::traces::{TraceFilter, TraceSummary};

pub(super) struct Trace {
    pub(super) kept: LoggedOutcome,
    pub(super) summary: TraceSummary,
    user: Option<String>,
    metadata: Option<String>,
}

impl Trace {
    pub(super) fn of(logged: &LoggedOutcome) -> Self {
        let row = WrittenRow::from(logged);
        let summary = TraceSummary {
            request_id: row.request_id.as_str().into(),
            tenant: row.tenant.as_str().into(),
            status: logged.outcome.status,
            code: row.code.clone(),
            model: row.model.clone(),
            executed_model: row.executed_model.clone(),
            latency_ms: row.latency_ms,
            ttft_ms: row.ttft_ms,
            backend_latency_ms: row.backend_latency_ms,
            queue_wait_ms: row.queue_wait_ms,
            usage: logged.outcome.usage,
            cost_micro_usd: logged.outcome.cost_micro_usd,
            ended_at: logged.outcome.ended_at,
        };
        Self {
            user: row.end_user.clone(),
            metadata: row.metadata.clone(),
            kept: read_back(row).expect("a row of this build can be read by it"),
            summary,
        }
    }

    /// Whether the list has it, wherever its page begins.
    pub(super) fn matches(&self, filter: &TraceFilter) -> bool {
        let summary = &self.summary;
        let trace = || self.kept.traceparent.as_ref()?.get(3..35);
        filter
            .tenant
            .as_ref()
            .is_none_or(|tenant| *tenant == summary.tenant)
            && filter.status.is_none_or(|status| status == summary.status)
            && is_wanted(filter.user.as_deref().map(text).as_deref(), self.user.as_deref())
            && is_wanted(filter.trace.as_deref(), trace())
            && filter.metadata.iter().all(|(key, value)| self.has(key, value))
    }

    fn has(&self, key: &str, value: &str) -> bool {
        let metadata = self.metadata.as_deref().unwrap_or_default();
        entries(key, value).iter().any(|entry| metadata.contains(entry))
    }
}

/// The outcome that a database would tell of `row`.
fn read_back(row: WrittenRow) -> Result<LoggedOutcome, StoreError> {
    let row = TraceRow {
        request_id: row.request_id,
        log_partition: row.log_partition,
        log_offset: row.log_offset,
        tenant: row.tenant,
        status: row.status.to_owned(),
        code: row.code,
        message: row.message,
        retry_after_ms: row.retry_after_ms,
        run_json: value(&row.run_json)?,
        request_json: nullable(row.request_json)?,
        plan_json: nullable(row.plan_json)?,
        decision_trace_json: nullable(row.decision_trace_json)?,
        cache_json: nullable(row.cache_json)?,
        queue_json: nullable(row.queue_json)?,
        lease_json: nullable(row.lease_json)?,
        response_json: nullable(row.response_json)?,
        prompt_tokens: row.prompt_tokens,
        completion_tokens: row.completion_tokens,
        cost_micro_usd: row.cost_micro_usd,
        latency_ms: row.latency_ms,
        ttft_ms: row.ttft_ms,
        backend_latency_ms: row.backend_latency_ms,
        compute_ms: row.compute_ms,
        ended_at: row.ended_at,
        traceparent: row.traceparent,
    };
    row.try_into()
}

fn value<T: DeserializeOwned>(json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(unreadable)
}

fn nullable<T: DeserializeOwned>(json: Option<String>) -> Result<Option<T>, StoreError> {
    json.map(|json| value(&json)).transpose()
}

fn is_wanted(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none() || wanted == found
}
