//! Traces in Postgres.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::list::{SummaryRow, list};
use super::row::{COLUMNS, TraceRow};
use super::written::WrittenRow;
use super::{TraceFilter, TraceSummary, Traces};
use crate::database::postgres::PostgresStore;
use crate::error::StoreError;
use crate::logged::LoggedOutcome;

#[async_trait]
impl Traces for PostgresStore {
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError> {
        static FIND: LazyLock<Arc<str>> =
            LazyLock::new(|| format!("SELECT {COLUMNS} FROM request_traces WHERE request_id = $1").into());
        let find = sqlx::query_as::<_, TraceRow>(AssertSqlSafe(Arc::clone(&FIND))).bind(request.as_str());
        let row = self.call(find.fetch_optional(&self.pool)).await?;
        row.map(LoggedOutcome::try_from).transpose()
    }

    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let mut query = list(filter);
        let query = query.build_query_as::<SummaryRow>();
        let rows = self.call(query.fetch_all(&self.pool)).await?;
        rows.into_iter().map(TraceSummary::try_from).collect()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let counting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM request_traces");
        let count = self.call(counting.fetch_one(&self.pool)).await?;
        Ok(count as u64)
    }

    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError> {
        let deletion = "DELETE FROM request_traces WHERE request_id IN \
            (SELECT request_id FROM request_traces WHERE ended_at < $1 LIMIT $2)";
        self.delete_rows(deletion, before).await
    }
}

/// Writes the traces of these outcomes, in the place of those that other outcomes of the same requests left.
pub(crate) async fn put(writing: &mut PgConnection, won: &[&LoggedOutcome]) -> Result<(), sqlx::Error> {
    static PUT: LazyLock<Arc<str>> = LazyLock::new(|| put_statement().into());
    if won.is_empty() {
        return Ok(());
    }
    let rows: Vec<WrittenRow> = won.iter().map(|logged| WrittenRow::from(*logged)).collect();
    // One array a column, so that one statement serves batches of every size. JSON goes as text, for an array of `json` would go by way
    // of `jsonb`, which refuses U+0000.
    let query = sqlx::query(AssertSqlSafe(Arc::clone(&PUT)))
        .bind(column(&rows, |row| row.request_id.as_str()))
        .bind(column(&rows, |row| row.log_partition))
        .bind(column(&rows, |row| row.log_offset))
        .bind(column(&rows, |row| row.tenant.as_str()))
        .bind(column(&rows, |row| row.status))
        .bind(column(&rows, |row| row.code.as_deref()))
        .bind(column(&rows, |row| row.message.as_deref()))
        .bind(column(&rows, |row| row.retry_after_ms))
        .bind(column(&rows, |row| row.model.as_str()))
        .bind(column(&rows, |row| row.executed_model.as_deref()))
        .bind(column(&rows, |row| row.policy_version.as_deref()))
        .bind(column(&rows, |row| row.run_json.as_str()))
        .bind(column(&rows, |row| row.request_json.as_deref()))
        .bind(column(&rows, |row| row.plan_json.as_deref()))
        .bind(column(&rows, |row| row.decision_trace_json.as_deref()))
        .bind(column(&rows, |row| row.cache_json.as_deref()))
        .bind(column(&rows, |row| row.queue_json.as_deref()))
        .bind(column(&rows, |row| row.lease_json.as_deref()))
        .bind(column(&rows, |row| row.response_json.as_deref()))
        .bind(column(&rows, |row| row.prompt_tokens))
        .bind(column(&rows, |row| row.completion_tokens))
        .bind(column(&rows, |row| row.cost_micro_usd))
        .bind(column(&rows, |row| row.latency_ms))
        .bind(column(&rows, |row| row.ttft_ms))
        .bind(column(&rows, |row| row.backend_latency_ms))
        .bind(column(&rows, |row| row.queue_wait_ms))
        .bind(column(&rows, |row| row.compute_ms))
        .bind(column(&rows, |row| row.ended_at))
        .bind(column(&rows, |row| row.end_user.as_deref()))
        .bind(column(&rows, |row| row.metadata.as_deref()))
        .bind(column(&rows, |row| row.traceparent.as_deref()));
    query.execute(writing).await.map(drop)
}

fn column<'a, T>(rows: &'a [WrittenRow], of: impl Fn(&'a WrittenRow) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn put_statement() -> String {
    let columns: Vec<&str> = COLUMNS.split(", ").collect();
    let parameters: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
    let cast = |column: &&str| {
        let json = column.ends_with("_json");
        format!("{column}{}", if json { "::json" } else { "" })
    };
    let values: Vec<String> = columns.iter().map(cast).collect();
    // Everything but the key.
    let overwrite: Vec<String> = columns[1..]
        .iter()
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    format!(
        "INSERT INTO request_traces ({COLUMNS}) SELECT {} FROM UNNEST({}) AS rows ({COLUMNS}) \
         ON CONFLICT (request_id) DO UPDATE SET {}",
        values.join(", "),
        parameters.join(", "),
        overwrite.join(", ")
    )
}
