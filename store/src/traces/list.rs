//! The list: which traces, newest first. The same query for both databases.

use relay_schemas::{MicroUsd, TimestampMs};
use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};

use super::row::{status, text, usage};
use super::{TraceFilter, TraceSummary};
use crate::error::StoreError;

#[derive(FromRow)]
pub(super) struct SummaryRow {
    request_id: String,
    tenant: String,
    status: String,
    code: Option<String>,
    model: String,
    executed_model: Option<String>,
    latency_ms: i64,
    ttft_ms: Option<i64>,
    backend_latency_ms: Option<i64>,
    queue_wait_ms: Option<i64>,
    prompt_tokens: i64,
    completion_tokens: i64,
    cost_micro_usd: i64,
    ended_at: i64,
}

impl TryFrom<SummaryRow> for TraceSummary {
    type Error = StoreError;

    fn try_from(row: SummaryRow) -> Result<Self, StoreError> {
        Ok(Self {
            request_id: row.request_id.as_str().into(),
            tenant: row.tenant.as_str().into(),
            status: status(&row.status)?,
            code: row.code,
            model: row.model,
            executed_model: row.executed_model,
            latency_ms: row.latency_ms,
            ttft_ms: row.ttft_ms,
            backend_latency_ms: row.backend_latency_ms,
            queue_wait_ms: row.queue_wait_ms,
            usage: usage(row.prompt_tokens, row.completion_tokens)?,
            cost_micro_usd: MicroUsd(row.cost_micro_usd),
            ended_at: TimestampMs(row.ended_at),
        })
    }
}

/// Selects [`SummaryRow`]s.
pub(super) fn list<D>(filter: &TraceFilter) -> QueryBuilder<D>
where
    D: Database<Arguments: Default>,
    String: for<'q> Encode<'q, D> + Type<D>,
    i64: for<'q> Encode<'q, D> + Type<D>,
{
    let mut query = QueryBuilder::new(
        "SELECT request_id, tenant, status, code, model, executed_model, latency_ms, ttft_ms, backend_latency_ms, queue_wait_ms, \
         prompt_tokens, completion_tokens, cost_micro_usd, ended_at FROM request_traces WHERE TRUE",
    );
    if let Some(tenant) = &filter.tenant {
        query.push(" AND tenant = ").push_bind(tenant.as_str().to_owned());
    }
    if let Some(status) = &filter.status {
        query.push(" AND status = ").push_bind(status.name().to_owned());
    }
    if let Some(user) = &filter.user {
        query.push(" AND end_user = ").push_bind(text(user));
    }
    if let Some(trace) = &filter.trace {
        query
            .push(" AND substr(traceparent, 4, 32) = ")
            .push_bind(trace.clone());
    }
    for (key, value) in &filter.metadata {
        let [first, later] = entries(key, value);
        query.push(" AND (replace(metadata, ").push_bind(first);
        query
            .push(", '') <> metadata OR replace(metadata, ")
            .push_bind(later);
        query.push(", '') <> metadata)");
    }
    match (filter.before, &filter.before_id) {
        (Some(before), Some(id)) => {
            query.push(" AND (ended_at, request_id) < (").push_bind(before.0);
            query.push(", ").push_bind(id.as_str().to_owned()).push(")");
        }
        (Some(before), None) => {
            query.push(" AND ended_at < ").push_bind(before.0);
        }
        (None, _) => {}
    }
    query.push(" ORDER BY ended_at DESC, request_id DESC LIMIT ");
    query.push_bind(i64::from(filter.limit.min(TraceFilter::MOST)));
    query
}

/// What metadata hold, as they are kept, where this is their first entry or a later one: in a flat JSON object of texts an entry begins
/// behind `{` or a comma, and no text holds a quote that is not escaped.
pub(crate) fn entries(key: &str, value: &str) -> [String; 2] {
    ["{", ","].map(|before| format!("{before}{}:{}", json(key), json(value)))
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}
