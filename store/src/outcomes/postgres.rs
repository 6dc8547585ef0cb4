//! Outcomes in Postgres.

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, QueryBuilder};

use super::folded::Steps;
use super::verdict::{self, Upserted};
use super::{Advance, FOLDED_TABLES, Folded, Outcomes, Positions, Verdict};
use crate::database::postgres::PostgresStore;
use crate::error::{StoreError, unreadable};
use crate::logged::LoggedOutcome;
use crate::traces;

#[async_trait]
impl Outcomes for PostgresStore {
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        if outcomes.is_empty() && advances.is_empty() {
            return Ok(Vec::new());
        }
        self.call(self.fold_once(outcomes, advances))
            .await?
            .ok_or(StoreError::Moved)
    }

    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM winners WHERE request_id = $1)");
        self.call(query.bind(request.as_str()).fetch_one(&self.pool))
            .await
    }

    async fn folded(&self) -> Result<Positions, StoreError> {
        let query = sqlx::query_as("SELECT log_partition, next_offset, whole_from FROM folded");
        let rows: Vec<(i64, i64, i64)> = self.call(query.fetch_all(&self.pool)).await?;
        let folded = |(partition, next, whole_from)| {
            let partition = i32::try_from(partition).map_err(unreadable)?;
            Ok((partition, Folded { next, whole_from }))
        };
        rows.into_iter().map(folded).collect()
    }

    async fn forget_all(&self) -> Result<(), StoreError> {
        let mut emptying = QueryBuilder::<Postgres>::new("TRUNCATE ");
        emptying.push(FOLDED_TABLES.join(", "));
        self.call(emptying.build().execute(&self.pool)).await.map(drop)
    }

    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError> {
        let deletion = "DELETE FROM winners WHERE request_id IN \
            (SELECT request_id FROM winners WHERE ended_at < $1 LIMIT $2)";
        self.delete_rows(deletion, before).await.map(drop)
    }
}

impl PostgresStore {
    /// `None`, and nothing is written, where an advance does not begin where the tables stand.
    async fn fold_once(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Option<Vec<Verdict>>, sqlx::Error> {
        let candidates = verdict::candidates(outcomes);
        let mut writing = self.pool.begin().await?;
        // First: two sinks of one partition wait for each other here.
        if !take_steps(&mut writing, advances).await? {
            writing.rollback().await?;
            return Ok(None);
        }
        let upserted = upsert(&mut writing, &candidates).await?;
        traces::postgres::put(&mut writing, &verdict::won(&candidates, &upserted.changed)).await?;
        writing.commit().await?;
        Ok(Some(upserted.judge(outcomes, &candidates)))
    }
}

/// Whether each of them began where the tables stand. Rows are locked in the order of partitions, so that two sinks that share some
/// wait for each other in no circle.
async fn take_steps(writing: &mut PgConnection, advances: &[Advance]) -> Result<bool, sqlx::Error> {
    const ON: &str = "WITH locked AS (SELECT log_partition AS number FROM folded WHERE log_partition = ANY($1::bigint[]) \
            ORDER BY log_partition FOR UPDATE) \
        UPDATE folded SET next_offset = step.next_offset, whole_from = step.whole_from \
        FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS step (number, next_offset, whole_from, stood) \
        JOIN locked USING (number) \
        WHERE folded.log_partition = step.number AND folded.next_offset = step.stood";
    const FIRST: &str = "INSERT INTO folded (log_partition, next_offset, whole_from) \
        SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[]) ORDER BY 1 ON CONFLICT DO NOTHING";

    let Steps { on, first } = Steps::of(advances);
    let mut taken = 0;
    if !on.is_empty() {
        let (advances, stood): (Vec<&Advance>, Vec<i64>) = on.into_iter().unzip();
        let [numbers, next, whole_from] = columns(&advances);
        let step = sqlx::query(ON)
            .bind(numbers)
            .bind(next)
            .bind(whole_from)
            .bind(stood);
        taken += step.execute(&mut *writing).await?.rows_affected();
    }
    if !first.is_empty() {
        let [numbers, next, whole_from] = columns(&first);
        let step = sqlx::query(FIRST).bind(numbers).bind(next).bind(whole_from);
        taken += step.execute(&mut *writing).await?.rows_affected();
    }
    Ok(taken == advances.len() as u64)
}

/// Partitions, and where they stand after the step.
fn columns(advances: &[&Advance]) -> [Vec<i64>; 3] {
    let column = |of: fn(&Advance) -> i64| advances.iter().map(|advance| of(advance)).collect();
    [
        column(|advance| advance.partition.into()),
        column(|advance| advance.to.next),
        column(|advance| advance.to.whole_from),
    ]
}

/// Writes down who leads now, and says for whom that is news. The statement locks each request's row, won or not, until
/// the transaction ends; candidates come sorted, so two sinks cannot wait for each other.
async fn upsert(writing: &mut PgConnection, candidates: &[&LoggedOutcome]) -> Result<Upserted, sqlx::Error> {
    const UPSERT: &str = "INSERT INTO winners (request_id, log_partition, log_offset, ended_at) \
        SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
        ON CONFLICT (request_id) DO UPDATE SET log_offset = excluded.log_offset, ended_at = excluded.ended_at \
        WHERE winners.log_partition = excluded.log_partition AND winners.log_offset > excluded.log_offset \
        RETURNING request_id";
    const OTHERS: &str =
        "SELECT request_id, log_partition, log_offset FROM winners WHERE request_id = ANY($1::text[])";

    let outcomes = || candidates.iter().map(|logged| &logged.outcome);
    let ids: Vec<&str> = outcomes().map(|outcome| outcome.request_id.as_str()).collect();
    let ends: Vec<i64> = outcomes().map(|outcome| outcome.ended_at.0).collect();
    let (partitions, offsets): (Vec<i64>, Vec<i64>) =
        candidates.iter().map(|logged| verdict::position(logged)).unzip();
    let changed = sqlx::query_scalar::<_, String>(UPSERT)
        .bind(ids)
        .bind(partitions)
        .bind(offsets)
        .bind(ends)
        .fetch_all(&mut *writing)
        .await?;
    let mut upserted = Upserted {
        changed: changed.into_iter().collect(),
        ..Upserted::default()
    };
    let lost = upserted.lost(candidates);
    if !lost.is_empty() {
        // A statement of its own, so that it sees what others committed while the first one waited for them.
        let others = sqlx::query_as::<_, (String, i64, i64)>(OTHERS).bind(lost);
        for (id, partition, offset) in others.fetch_all(&mut *writing).await? {
            upserted.others.insert(id, (partition, offset));
        }
    }
    Ok(upserted)
}
