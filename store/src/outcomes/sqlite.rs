//! Outcomes in `SQLite`.

use async_trait::async_trait;
use relay_schemas::TimestampMs;
use sqlx::QueryBuilder;
use sqlx::sqlite::SqliteConnection;

use super::verdict::{self, Upserted};
use super::{Outcomes, Verdict};
use crate::database::sqlite::{SqliteStore, in_sizes};
use crate::error::{StoreError, classify};
use crate::logged::LoggedOutcome;
use crate::traces;

#[async_trait]
impl Outcomes for SqliteStore {
    async fn fold(&self, outcomes: &[LoggedOutcome]) -> Result<Vec<Verdict>, StoreError> {
        if outcomes.is_empty() {
            return Ok(Vec::new());
        }
        self.fold_once(outcomes).await.map_err(classify)
    }

    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError> {
        let deletion =
            "DELETE FROM winners WHERE rowid IN (SELECT rowid FROM winners WHERE ended_at < ? LIMIT ?)";
        self.delete_rows(deletion, before).await.map(drop)
    }
}

impl SqliteStore {
    async fn fold_once(&self, outcomes: &[LoggedOutcome]) -> Result<Vec<Verdict>, sqlx::Error> {
        let candidates = verdict::candidates(outcomes);
        let mut writing = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let upserted = upsert(&mut writing, &candidates).await?;
        traces::sqlite::put(&mut writing, &upserted.won(&candidates)).await?;
        writing.commit().await?;
        Ok(upserted.judge(outcomes, &candidates))
    }
}

/// Writes down who leads now, and says for whom that is news.
async fn upsert(
    writing: &mut SqliteConnection,
    candidates: &[&LoggedOutcome],
) -> Result<Upserted, sqlx::Error> {
    let mut upserted = Upserted::default();
    for candidates in in_sizes(candidates) {
        let mut query =
            QueryBuilder::new("INSERT INTO winners (request_id, log_partition, log_offset, ended_at) ");
        query.push_values(candidates, |mut values, logged| {
            let (partition, offset) = verdict::position(logged);
            values
                .push_bind(logged.outcome.request_id.as_str())
                .push_bind(partition)
                .push_bind(offset)
                .push_bind(logged.outcome.ended_at.0);
        });
        query.push(
            " ON CONFLICT (request_id) DO UPDATE SET log_offset = excluded.log_offset, ended_at = excluded.ended_at \
             WHERE winners.log_partition = excluded.log_partition AND winners.log_offset > excluded.log_offset \
             RETURNING request_id",
        );
        let changed = query.build_query_scalar::<String>();
        upserted.changed.extend(changed.fetch_all(&mut *writing).await?);
    }
    // Rare: redelivered or superseded records.
    for id in upserted.lost(candidates) {
        let query = sqlx::query_as("SELECT log_partition, log_offset FROM winners WHERE request_id = ?");
        let position = query.bind(id).fetch_one(&mut *writing).await?;
        upserted.others.insert(id.to_owned(), position);
    }
    Ok(upserted)
}
