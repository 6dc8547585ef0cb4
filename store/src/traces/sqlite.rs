//! Traces in `SQLite`.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, QueryBuilder};

use super::list::{SummaryRow, list};
use super::row::{COLUMNS, TraceRow};
use super::{TraceFilter, TraceSummary, Traces};
use crate::database::sqlite::{SqliteStore, in_sizes};
use crate::error::StoreError;
use crate::logged::LoggedOutcome;

#[async_trait]
impl Traces for SqliteStore {
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError> {
        static FIND: LazyLock<Arc<str>> =
            LazyLock::new(|| format!("SELECT {COLUMNS} FROM request_traces WHERE request_id = ?").into());
        let find = sqlx::query_as::<_, TraceRow>(AssertSqlSafe(Arc::clone(&FIND))).bind(request.as_str());
        let opened = self.opened().await?;
        let row = self
            .settled(&opened, find.fetch_optional(&opened.readers).await)
            .await?;
        row.map(LoggedOutcome::try_from).transpose()
    }

    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let mut query = list(filter);
        let query = query.build_query_as::<SummaryRow>();
        let opened = self.opened().await?;
        let rows = self
            .settled(&opened, query.fetch_all(&opened.readers).await)
            .await?;
        rows.into_iter().map(TraceSummary::try_from).collect()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let counting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM request_traces");
        let opened = self.opened().await?;
        let count = self
            .settled(&opened, counting.fetch_one(&opened.readers).await)
            .await?;
        Ok(count as u64)
    }

    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError> {
        let deletion = "DELETE FROM request_traces WHERE rowid IN \
            (SELECT rowid FROM request_traces WHERE ended_at < ? LIMIT ?)";
        self.delete_rows(deletion, before).await
    }
}

/// Writes the traces of these outcomes, in the place of those that other outcomes of the same requests left.
pub(crate) async fn put(writing: &mut SqliteConnection, won: &[&LoggedOutcome]) -> Result<(), sqlx::Error> {
    for outcomes in in_sizes(won) {
        let mut query = QueryBuilder::new(format!("INSERT OR REPLACE INTO request_traces ({COLUMNS}) "));
        query.push_values(outcomes, |mut values, outcome| {
            let row = TraceRow::from(*outcome);
            values
                .push_bind(row.request_id)
                .push_bind(row.log_partition)
                .push_bind(row.log_offset)
                .push_bind(row.tenant)
                .push_bind(row.status)
                .push_bind(row.code)
                .push_bind(row.message)
                .push_bind(row.retry_after_ms)
                .push_bind(row.model)
                .push_bind(row.executed_model)
                .push_bind(row.policy_version)
                .push_bind(Json(row.run_json))
                .push_bind(row.request_json.map(Json))
                .push_bind(row.plan_json.map(Json))
                .push_bind(row.decision_trace_json.map(Json))
                .push_bind(row.cache_json.map(Json))
                .push_bind(row.queue_json.map(Json))
                .push_bind(row.lease_json.map(Json))
                .push_bind(row.response_json.map(Json))
                .push_bind(row.prompt_tokens)
                .push_bind(row.completion_tokens)
                .push_bind(row.cost_micro_usd)
                .push_bind(row.latency_ms)
                .push_bind(row.ttft_ms)
                .push_bind(row.backend_latency_ms)
                .push_bind(row.queue_wait_ms)
                .push_bind(row.compute_ms)
                .push_bind(row.ended_at)
                .push_bind(row.end_user)
                .push_bind(row.metadata)
                .push_bind(row.traceparent);
        });
        query.build().execute(&mut *writing).await?;
    }
    Ok(())
}
