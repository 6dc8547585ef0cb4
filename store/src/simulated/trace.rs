//! A trace as the tables keep it: cleaned as a row of theirs is.

use crate::logged::LoggedOutcome;
use crate::traces::list::entries;
use crate::traces::row::{TraceRow, text};
use crate::traces::{TraceFilter, TraceSummary};

pub(super) struct Trace {
    pub(super) kept: LoggedOutcome,
    pub(super) summary: TraceSummary,
    user: Option<String>,
    metadata: Option<String>,
}

impl Trace {
    pub(super) fn of(logged: &LoggedOutcome) -> Self {
        let row = TraceRow::from(logged);
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
            kept: row.try_into().expect("a row of this build can be read by it"),
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

fn is_wanted(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none() || wanted == found
}
