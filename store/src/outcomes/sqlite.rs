//! Outcomes in `SQLite`.

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};

use super::verdict::{self, Upserted};
use super::{Advance, FOLDED_TABLES, Folded, Outcomes, Positions, Verdict};
use crate::database::sqlite::{SqliteStore, in_sizes};
use crate::error::StoreError;
use crate::logged::LoggedOutcome;
use crate::traces;

#[async_trait]
impl Outcomes for SqliteStore {
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        if outcomes.is_empty() && advances.is_empty() {
            return Ok(Vec::new());
        }
        let opened = self.opened().await?;
        let folded = fold_once(&opened.writer, outcomes, advances).await;
        self.settled(&opened, folded).await?.ok_or(StoreError::Moved)
    }

    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError> {
        let opened = self.opened().await?;
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM winners WHERE request_id = ?)");
        let query = query.bind(request.as_str());
        self.settled(&opened, query.fetch_one(&opened.readers).await)
            .await
    }

    async fn folded(&self) -> Result<Positions, StoreError> {
        let opened = self.opened().await?;
        let query = sqlx::query_as("SELECT log_partition, next_offset, whole_from FROM folded");
        let rows: Vec<(i32, i64, i64)> = self
            .settled(&opened, query.fetch_all(&opened.readers).await)
            .await?;
        let folded = |(partition, next, whole_from)| (partition, Folded { next, whole_from });
        Ok(rows.into_iter().map(folded).collect())
    }

    async fn forget_all(&self) -> Result<(), StoreError> {
        let opened = self.opened().await?;
        self.settled(&opened, forget_all(&opened.writer).await).await
    }

    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError> {
        let deletion =
            "DELETE FROM winners WHERE rowid IN (SELECT rowid FROM winners WHERE ended_at < ? LIMIT ?)";
        self.delete_rows(deletion, before).await.map(drop)
    }
}

/// `None`, and nothing is written, where an advance does not begin where the tables stand.
async fn fold_once(
    writer: &SqlitePool,
    outcomes: &[LoggedOutcome],
    advances: &[Advance],
) -> Result<Option<Vec<Verdict>>, sqlx::Error> {
    let candidates = verdict::candidates(outcomes);
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await?;
    for advance in advances {
        if !take_step(&mut writing, advance).await? {
            writing.rollback().await?;
            return Ok(None);
        }
    }
    let upserted = upsert(&mut writing, &candidates).await?;
    traces::sqlite::put(&mut writing, &upserted.won(&candidates)).await?;
    writing.commit().await?;
    Ok(Some(upserted.judge(outcomes, &candidates)))
}

async fn take_step(writing: &mut SqliteConnection, advance: &Advance) -> Result<bool, sqlx::Error> {
    let step = sqlx::query(advance.statement())
        .bind(advance.to.next)
        .bind(advance.to.whole_from)
        .bind(i64::from(advance.partition))
        .bind(advance.from);
    Ok(step.execute(writing).await?.rows_affected() == 1)
}

async fn forget_all(writer: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut writing = writer.begin_with("BEGIN IMMEDIATE").await?;
    for table in FOLDED_TABLES {
        let mut emptying = QueryBuilder::<Sqlite>::new("DELETE FROM ");
        emptying.push(table);
        emptying.build().execute(&mut *writing).await?;
    }
    writing.commit().await
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
