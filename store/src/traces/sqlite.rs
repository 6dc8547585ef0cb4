//! Traces in `SQLite`.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Sqlite};

use super::list::{SummaryRow, list};
use super::row::{COLUMNS, TraceRow};
use super::written::WrittenRow;
use super::{TraceFilter, TraceSummary, Traces};
use crate::database::sqlite::SqliteStore;
use crate::database::sqlite::rows::RowStatement;
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

/// Writes the traces of these outcomes. None of their requests has one.
pub(crate) async fn put(writing: &mut SqliteConnection, won: &[&LoggedOutcome]) -> Result<(), sqlx::Error> {
    static PUT: LazyLock<RowStatement> = LazyLock::new(|| {
        RowStatement::new(COLUMNS.split(", ").count(), |rows| {
            format!(
                "INSERT OR FAIL INTO request_traces ({COLUMNS}) SELECT * FROM {rows} WHERE column1 IS NOT NULL"
            )
        })
    });
    for (put, outcomes) in PUT.pieces(won) {
        let mut query = sqlx::query(put);
        for outcome in outcomes {
            query = bind(query, WrittenRow::from(*outcome));
        }
        query.execute(&mut *writing).await?;
    }
    Ok(())
}

fn bind(query: Query<'_, Sqlite, SqliteArguments>, row: WrittenRow) -> Query<'_, Sqlite, SqliteArguments> {
    query
        .bind(row.request_id)
        .bind(row.log_partition)
        .bind(row.log_offset)
        .bind(row.tenant)
        .bind(row.status)
        .bind(row.code)
        .bind(row.message)
        .bind(row.retry_after_ms)
        .bind(row.model)
        .bind(row.executed_model)
        .bind(row.policy_version)
        .bind(row.run_json)
        .bind(row.request_json)
        .bind(row.plan_json)
        .bind(row.decision_trace_json)
        .bind(row.cache_json)
        .bind(row.queue_json)
        .bind(row.lease_json)
        .bind(row.response_json)
        .bind(row.prompt_tokens)
        .bind(row.completion_tokens)
        .bind(row.cost_micro_usd)
        .bind(row.latency_ms)
        .bind(row.ttft_ms)
        .bind(row.backend_latency_ms)
        .bind(row.queue_wait_ms)
        .bind(row.compute_ms)
        .bind(row.ended_at)
        .bind(row.end_user)
        .bind(row.metadata)
        .bind(row.traceparent)
}
