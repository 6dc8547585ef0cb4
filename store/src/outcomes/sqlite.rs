//! Outcomes in `SQLite`.

use std::sync::LazyLock;

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{QueryBuilder, Sqlite};

use super::folded::Steps;
use super::verdict::{self, WinnerPositions};
use super::{Advance, FOLDED_TABLES, Folded, Outcomes, Positions, Verdict};
use crate::database::sqlite::SqliteStore;
use crate::database::sqlite::rows::RowStatement;
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
    if !take_steps(&mut writing, advances).await? {
        writing.rollback().await?;
        return Ok(None);
    }
    // Nobody else writes until the end of this transaction: what is known now can be judged here.
    let (mut winners, met) = known(&mut writing, &candidates).await?;
    let changed = verdict::change(&mut winners, &candidates);
    let replaced: Vec<String> = met.into_iter().filter(|id| changed.contains(id)).collect();
    remove(&mut writing, &replaced).await?;
    let won = verdict::won(&candidates, &changed);
    put(&mut writing, &won).await?;
    traces::sqlite::put(&mut writing, &won).await?;
    writing.commit().await?;
    Ok(Some(verdict::judge(outcomes, &winners, &changed)))
}

/// Whether each of them began where the tables stand.
async fn take_steps(writing: &mut SqliteConnection, advances: &[Advance]) -> Result<bool, sqlx::Error> {
    static ON: LazyLock<RowStatement> = LazyLock::new(|| {
        RowStatement::new(4, |rows| {
            format!(
                "UPDATE OR FAIL folded SET next_offset = column2, whole_from = column3 FROM {rows} AS step \
                 WHERE log_partition = column1 AND next_offset = column4"
            )
        })
    });
    static FIRST: LazyLock<RowStatement> = LazyLock::new(|| {
        RowStatement::new(3, |rows| {
            format!(
                "INSERT INTO folded (log_partition, next_offset, whole_from) \
                 SELECT * FROM {rows} WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING"
            )
        })
    });
    let Steps { on, first } = Steps::of(advances);
    let mut taken = 0;
    for (step, advances) in ON.pieces(&on) {
        let mut query = sqlx::query(step);
        for (Advance { partition, to, .. }, from) in advances {
            query = query
                .bind(*partition)
                .bind(to.next)
                .bind(to.whole_from)
                .bind(*from);
        }
        taken += query.execute(&mut *writing).await?.rows_affected();
    }
    for (step, advances) in FIRST.pieces(&first) {
        let mut query = sqlx::query(step);
        for Advance { partition, to, .. } in advances {
            query = query.bind(*partition).bind(to.next).bind(to.whole_from);
        }
        taken += query.execute(&mut *writing).await?.rows_affected();
    }
    Ok(taken == advances.len() as u64)
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

/// Where the winners of these requests lie so far, and which of the requests either table knows.
async fn known(
    writing: &mut SqliteConnection,
    candidates: &[&LoggedOutcome],
) -> Result<(WinnerPositions, Vec<String>), sqlx::Error> {
    static KNOWN: LazyLock<RowStatement> = LazyLock::new(|| {
        RowStatement::new(1, |rows| {
            format!(
                "SELECT column1, winners.log_partition, winners.log_offset FROM {rows} AS asked \
                 LEFT JOIN winners ON winners.request_id = column1 \
                 LEFT JOIN request_traces ON request_traces.request_id = column1 \
                 WHERE winners.request_id IS NOT NULL OR request_traces.request_id IS NOT NULL"
            )
        })
    });
    let (mut winners, mut met) = (WinnerPositions::new(), Vec::new());
    for (known, candidates) in KNOWN.pieces(candidates) {
        let mut query = sqlx::query_as::<_, (String, Option<i64>, Option<i64>)>(known);
        for logged in candidates {
            query = query.bind(logged.outcome.request_id.as_str());
        }
        for (id, partition, offset) in query.fetch_all(&mut *writing).await? {
            winners.extend(partition.zip(offset).map(|position| (id.clone(), position)));
            met.push(id);
        }
    }
    Ok((winners, met))
}

/// Takes out what is to be written anew. Rare: a record with a lower offset was folded later, as after a replay.
async fn remove(writing: &mut SqliteConnection, ids: &[String]) -> Result<(), sqlx::Error> {
    static REMOVE: LazyLock<[RowStatement; 2]> = LazyLock::new(|| {
        ["winners", "request_traces"].map(|table| {
            RowStatement::new(1, |rows| {
                format!("DELETE FROM {table} WHERE request_id IN (SELECT column1 FROM {rows})")
            })
        })
    });
    for table in REMOVE.iter() {
        for (remove, ids) in table.pieces(ids) {
            let query = ids.iter().fold(sqlx::query(remove), Query::bind);
            query.execute(&mut *writing).await?;
        }
    }
    Ok(())
}

/// Writes down where they lie.
async fn put(writing: &mut SqliteConnection, won: &[&LoggedOutcome]) -> Result<(), sqlx::Error> {
    static PUT: LazyLock<RowStatement> = LazyLock::new(|| {
        RowStatement::new(4, |rows| {
            format!(
                "INSERT OR FAIL INTO winners (request_id, log_partition, log_offset, ended_at) \
                 SELECT * FROM {rows} WHERE column1 IS NOT NULL"
            )
        })
    });
    for (put, won) in PUT.pieces(won) {
        let mut query = sqlx::query(put);
        for logged in won {
            let (partition, offset) = verdict::position(logged);
            query = query
                .bind(logged.outcome.request_id.as_str())
                .bind(partition)
                .bind(offset)
                .bind(logged.outcome.ended_at.0);
        }
        query.execute(&mut *writing).await?;
    }
    Ok(())
}
