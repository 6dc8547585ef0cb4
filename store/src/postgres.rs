//! The tables in Postgres, for services in processes of their own.
//!
//! Connects when it is first needed and again whenever it must: a Postgres that is away makes every call
//! [`StoreError::Unavailable`] within a bounded time and is no reason to end. The first call that reaches it makes the tables.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::{RequestId, Secret, TimestampMs};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::OnceCell;

use crate::columns::{self, Cell, Kind};
use crate::error::{classify, classify_migration};
use crate::query::{self, Upserted, unreadable};
use crate::{Folded, Store, StoreError, Stored, TraceFilter, TraceSummary, migrations, winner};

/// Rows that one deletion takes, so that it never holds locks long.
const DELETED_AT_ONCE: i64 = 5_000;

/// Where Postgres is, and the limits towards it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with libpq's parameters (`sslmode`, `sslrootcert`, …).
    pub url: Secret,
    /// Most connections.
    pub max_connections: u32,
    /// The longest wait for a connection, milliseconds.
    pub acquire_timeout_ms: u64,
    /// The longest one statement may run on the server, milliseconds; 0 leaves it to the server.
    pub statement_timeout_ms: u64,
    /// The longest one call of ours takes, milliseconds, also when the server has gone silent.
    pub call_timeout_ms: u64,
    /// Run-time parameters of each session, as they are: `search_path`, `application_name`, …
    pub parameters: BTreeMap<String, String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            url: "postgres://127.0.0.1:5432/relay".into(),
            max_connections: 8,
            acquire_timeout_ms: 2_000,
            statement_timeout_ms: 5_000,
            call_timeout_ms: 10_000,
            parameters: BTreeMap::new(),
        }
    }
}

impl PostgresOptions {
    /// The defaults, at `url`.
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            ..Self::default()
        }
    }
}

/// Traces and winners in Postgres.
pub struct PostgresStore {
    pool: PgPool,
    migrated: OnceCell<()>,
    call_timeout: Duration,
}

impl PostgresStore {
    /// Prepares the pool; nothing is connected yet. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] if the URL is none.
    pub fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let mut server: PgConnectOptions = options
            .url
            .expose()
            .parse()
            .map_err(|error| StoreError::Fatal(format!("the store's URL: {error}")))?;
        if options.statement_timeout_ms > 0 {
            server = server.options([("statement_timeout", options.statement_timeout_ms)]);
        }
        server = server.options(options.parameters);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(Duration::from_millis(options.acquire_timeout_ms))
            .connect_lazy_with(server);
        Ok(Self {
            pool,
            migrated: OnceCell::new(),
            call_timeout: Duration::from_millis(options.call_timeout_ms),
        })
    }

    /// Makes the tables once, then does `work`, all in bounded time.
    async fn call<T>(&self, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        let call = async {
            self.migrated
                .get_or_try_init(|| async {
                    migrations::postgres()
                        .run(&self.pool)
                        .await
                        .map_err(classify_migration)
                })
                .await?;
            work.await.map_err(classify)
        };
        let silent =
            |_| StoreError::Unavailable(format!("no answer within {} ms", self.call_timeout.as_millis()));
        tokio::time::timeout(self.call_timeout, call)
            .await
            .map_err(silent)?
    }

    async fn delete_before(&self, statement: &'static str, before: TimestampMs) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let deleting = sqlx::query(statement).bind(before.0).bind(DELETED_AT_ONCE);
            let rows = self.call(deleting.execute(&self.pool)).await?.rows_affected();
            deleted += rows;
            if rows < DELETED_AT_ONCE as u64 {
                return Ok(deleted);
            }
        }
    }

    async fn fold_once(&self, outcomes: &[Stored]) -> Result<Vec<Folded>, sqlx::Error> {
        let candidates = winner::candidates(outcomes);
        let mut writing = self.pool.begin().await?;
        let upserted = upsert(&mut writing, &candidates).await?;
        insert_traces(&mut writing, &upserted.won(&candidates)).await?;
        writing.commit().await?;
        Ok(upserted.judge(outcomes, &candidates))
    }
}

const TRACES_BEFORE: &str = "DELETE FROM request_traces WHERE request_id IN \
    (SELECT request_id FROM request_traces WHERE ended_at < $1 LIMIT $2)";
const WINNERS_BEFORE: &str = "DELETE FROM winners WHERE request_id IN \
    (SELECT request_id FROM winners WHERE ended_at < $1 LIMIT $2)";

#[async_trait]
impl Store for PostgresStore {
    async fn fold(&self, outcomes: &[Stored]) -> Result<Vec<Folded>, StoreError> {
        if outcomes.is_empty() {
            return Ok(Vec::new());
        }
        self.call(self.fold_once(outcomes)).await
    }

    async fn winner(&self, request: &RequestId) -> Result<Option<Stored>, StoreError> {
        static QUERY: LazyLock<Arc<str>> = LazyLock::new(|| {
            let readable = columns::ALL.map(|(name, kind)| match kind {
                Kind::Json => format!("{name}::text"),
                Kind::Text | Kind::Number => name.to_owned(),
            });
            let readable = readable.join(", ");
            format!("SELECT {readable} FROM request_traces WHERE request_id = $1").into()
        });
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&QUERY))).bind(request.as_str());
        let row: Option<PgRow> = self.call(query.fetch_optional(&self.pool)).await?;
        let read = |row: PgRow| {
            let cells = query::cells(&row, &columns::ALL).map_err(unreadable)?;
            columns::stored(cells).map_err(unreadable)
        };
        row.map(read).transpose()
    }

    async fn traces(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let mut query = query::list(filter);
        let rows: Vec<PgRow> = self.call(query.build().fetch_all(&self.pool)).await?;
        let read = |row: &PgRow| {
            let cells = query::cells(row, &columns::SUMMARY).map_err(unreadable)?;
            columns::summary(cells).map_err(unreadable)
        };
        rows.iter().map(read).collect()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let counting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM request_traces");
        let count = self.call(counting.fetch_one(&self.pool)).await?;
        Ok(count as u64)
    }

    async fn retain(
        &self,
        traces_before: TimestampMs,
        winners_before: TimestampMs,
    ) -> Result<u64, StoreError> {
        let deleted = self.delete_before(TRACES_BEFORE, traces_before).await?;
        self.delete_before(WINNERS_BEFORE, winners_before).await?;
        Ok(deleted)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.call(sqlx::query("SELECT 1").execute(&self.pool))
            .await
            .map(drop)
    }
}

/// Writes down who leads now, and says for whom that is news. The statement locks each request's row, won or not, until
/// the transaction ends; candidates come sorted, so two sinks cannot wait for each other.
async fn upsert(writing: &mut PgConnection, candidates: &[&Stored]) -> Result<Upserted, sqlx::Error> {
    const UPSERT: &str = "INSERT INTO winners (request_id, log_partition, log_offset, ended_at) \
        SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) \
        ON CONFLICT (request_id) DO UPDATE SET log_offset = excluded.log_offset, ended_at = excluded.ended_at \
        WHERE winners.log_partition = excluded.log_partition AND winners.log_offset > excluded.log_offset \
        RETURNING request_id";
    const OTHERS: &str =
        "SELECT request_id, log_partition, log_offset FROM winners WHERE request_id = ANY($1::text[])";

    let ids: Vec<&str> = candidates
        .iter()
        .map(|stored| stored.outcome.request_id.as_str())
        .collect();
    let (partitions, offsets): (Vec<i64>, Vec<i64>) =
        candidates.iter().map(|stored| winner::place(stored)).unzip();
    let ends: Vec<i64> = candidates
        .iter()
        .map(|stored| stored.outcome.ended_at.0)
        .collect();
    let query = sqlx::query(UPSERT)
        .bind(ids)
        .bind(partitions)
        .bind(offsets)
        .bind(ends);
    let rows: Vec<PgRow> = query.fetch_all(&mut *writing).await?;
    let changed: Result<HashSet<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let mut upserted = Upserted {
        changed: changed?,
        others: winner::Winners::new(),
    };
    let lost = upserted.lost(candidates);
    if !lost.is_empty() {
        // A statement of its own, so that it sees what others committed while the first one waited for them.
        let rows: Vec<PgRow> = sqlx::query(OTHERS).bind(lost).fetch_all(&mut *writing).await?;
        for row in rows {
            upserted
                .others
                .insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
    }
    Ok(upserted)
}

async fn insert_traces(writing: &mut PgConnection, winners: &[&Stored]) -> Result<(), sqlx::Error> {
    static STATEMENT: LazyLock<Arc<str>> = LazyLock::new(|| insert_statement().into());
    if winners.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<std::vec::IntoIter<Cell>> = winners
        .iter()
        .map(|stored| columns::cells(stored).into_iter())
        .collect();
    let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&STATEMENT)));
    for (_, kind) in columns::ALL {
        let column = rows.iter_mut().filter_map(Iterator::next);
        query = match kind {
            Kind::Number => query.bind(column.map(Cell::into_number).collect::<Vec<Option<i64>>>()),
            Kind::Text | Kind::Json => {
                query.bind(column.map(Cell::into_text).collect::<Vec<Option<String>>>())
            }
        };
    }
    query.execute(writing).await.map(drop)
}

/// One array a column, so that one statement serves batches of every size.
fn insert_statement() -> String {
    let names = columns::names(&columns::ALL);
    let numbered = columns::ALL.iter().zip(1..);
    let arrays: Vec<String> = numbered
        .map(|((_, kind), number)| match kind {
            Kind::Number => format!("${number}::bigint[]"),
            Kind::Text | Kind::Json => format!("${number}::text[]"),
        })
        .collect();
    let values = columns::ALL.map(|(name, kind)| match kind {
        Kind::Json => format!("{name}::json"),
        Kind::Text | Kind::Number => name.to_owned(),
    });
    format!(
        "INSERT INTO request_traces ({names}) SELECT {} FROM UNNEST({}) AS rows ({names}) \
         ON CONFLICT (request_id) DO UPDATE SET {}",
        values.join(", "),
        arrays.join(", "),
        columns::overwrite()
    )
}
