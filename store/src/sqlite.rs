//! The tables in one `SQLite` file: nothing to install.
//!
//! One connection writes, some read (WAL lets them side by side). A commit is on disk before it counts
//! (`synchronous = FULL`): the offsets of what was folded are committed after it, so they must not survive it.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::{RequestId, TimestampMs};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row};

use crate::columns::{self, Cell};
use crate::error::{classify, classify_migration};
use crate::query::{self, Upserted, unreadable};
use crate::{Folded, Store, StoreError, Stored, TraceFilter, TraceSummary, migrations, winner};

/// Rows a statement takes: a batch is cut into these, so that few statements serve every size and stay prepared.
const SIZES: [usize; 3] = [32, 4, 1];
/// Rows that one deletion takes, so that it never holds the writer long.
const DELETED_AT_ONCE: i64 = 1_000;

/// Limits of the file.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Most connections that read at once.
    pub readers: u32,
    /// The longest wait for a connection or a lock.
    pub patience: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            patience: Duration::from_secs(5),
        }
    }
}

/// Traces and winners in one `SQLite` file.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, with its folder and tables made if they are not there.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, &SqliteOptions::default()).await
    }

    /// The same with other limits.
    pub async fn open_with(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Unavailable(format!("{}: {error}", folder.display())))?;
        }
        let file = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.patience);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(options.patience)
                .max_lifetime(None)
                .idle_timeout(None)
        };
        let writer = pool()
            .max_connections(1)
            .connect_with(file.clone())
            .await
            .map_err(classify)?;
        migrations::sqlite()
            .run(&writer)
            .await
            .map_err(classify_migration)?;
        let readers = pool()
            .max_connections(options.readers.max(1))
            .connect_lazy_with(file.create_if_missing(false).pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    async fn delete_before(&self, table: &'static Deletion, before: TimestampMs) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let statement = sqlx::query(table.0).bind(before.0).bind(DELETED_AT_ONCE);
            let rows = statement
                .execute(&self.writer)
                .await
                .map_err(classify)?
                .rows_affected();
            deleted += rows;
            if rows < DELETED_AT_ONCE as u64 {
                return Ok(deleted);
            }
        }
    }
}

struct Deletion(&'static str);

static TRACES_BEFORE: Deletion = Deletion(
    "DELETE FROM request_traces WHERE rowid IN \
     (SELECT rowid FROM request_traces WHERE ended_at < ? LIMIT ?)",
);
static WINNERS_BEFORE: Deletion =
    Deletion("DELETE FROM winners WHERE rowid IN (SELECT rowid FROM winners WHERE ended_at < ? LIMIT ?)");

#[async_trait]
impl Store for SqliteStore {
    async fn fold(&self, outcomes: &[Stored]) -> Result<Vec<Folded>, StoreError> {
        if outcomes.is_empty() {
            return Ok(Vec::new());
        }
        let candidates = winner::candidates(outcomes);
        let mut writing = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(classify)?;
        let upserted = upsert(&mut writing, &candidates).await.map_err(classify)?;
        insert_traces(&mut writing, &upserted.won(&candidates))
            .await
            .map_err(classify)?;
        writing.commit().await.map_err(classify)?;
        Ok(upserted.judge(outcomes, &candidates))
    }

    async fn winner(&self, request: &RequestId) -> Result<Option<Stored>, StoreError> {
        static QUERY: LazyLock<Arc<str>> = LazyLock::new(|| {
            let columns = columns::names(&columns::ALL);
            format!("SELECT {columns} FROM request_traces WHERE request_id = ?").into()
        });
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&QUERY))).bind(request.as_str());
        let row: Option<SqliteRow> = query.fetch_optional(&self.readers).await.map_err(classify)?;
        let read = |row: SqliteRow| {
            let cells = query::cells(&row, &columns::ALL).map_err(unreadable)?;
            columns::stored(cells).map_err(unreadable)
        };
        row.map(read).transpose()
    }

    async fn traces(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        let mut query = query::list(filter);
        let rows: Vec<SqliteRow> = query.build().fetch_all(&self.readers).await.map_err(classify)?;
        let read = |row: &SqliteRow| {
            let cells = query::cells(row, &columns::SUMMARY).map_err(unreadable)?;
            columns::summary(cells).map_err(unreadable)
        };
        rows.iter().map(read).collect()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let counting = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM request_traces");
        let count = counting.fetch_one(&self.readers).await.map_err(classify)?;
        Ok(count as u64)
    }

    async fn retain(
        &self,
        traces_before: TimestampMs,
        winners_before: TimestampMs,
    ) -> Result<u64, StoreError> {
        let deleted = self.delete_before(&TRACES_BEFORE, traces_before).await?;
        self.delete_before(&WINNERS_BEFORE, winners_before).await?;
        Ok(deleted)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let probe = sqlx::query("SELECT 1").execute(&self.readers).await;
        probe.map(drop).map_err(classify)
    }
}

/// Writes down who leads now, and says for whom that is news.
async fn upsert(writing: &mut SqliteConnection, candidates: &[&Stored]) -> Result<Upserted, sqlx::Error> {
    static STATEMENTS: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| {
        SIZES.map(|rows| {
            format!(
                "INSERT INTO winners (request_id, log_partition, log_offset, ended_at) VALUES {} \
                 ON CONFLICT (request_id) DO UPDATE SET log_offset = excluded.log_offset, ended_at = excluded.ended_at \
                 WHERE winners.log_partition = excluded.log_partition AND winners.log_offset > excluded.log_offset \
                 RETURNING request_id",
                placeholders(rows, 4)
            )
            .into()
        })
    });
    let mut upserted = Upserted {
        changed: std::collections::HashSet::with_capacity(candidates.len()),
        others: winner::Winners::new(),
    };
    for (statement, candidates) in in_sizes(&STATEMENTS, candidates) {
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for stored in candidates {
            let (partition, offset) = winner::place(stored);
            let outcome = &stored.outcome;
            query = query
                .bind(outcome.request_id.as_str())
                .bind(partition)
                .bind(offset)
                .bind(outcome.ended_at.0);
        }
        for row in query.fetch_all(&mut *writing).await? {
            upserted.changed.insert(row.try_get(0)?);
        }
    }
    // Rare: redelivered or superseded records.
    for id in upserted.lost(candidates) {
        let query =
            sqlx::query("SELECT log_partition, log_offset FROM winners WHERE request_id = ?").bind(id);
        let row: SqliteRow = query.fetch_one(&mut *writing).await?;
        let place = (row.try_get(0)?, row.try_get(1)?);
        upserted.others.insert(id.to_owned(), place);
    }
    Ok(upserted)
}

async fn insert_traces(writing: &mut SqliteConnection, winners: &[&Stored]) -> Result<(), sqlx::Error> {
    static STATEMENTS: LazyLock<[Arc<str>; 3]> = LazyLock::new(|| {
        SIZES.map(|rows| {
            format!(
                "INSERT INTO request_traces ({}) VALUES {} ON CONFLICT (request_id) DO UPDATE SET {}",
                columns::names(&columns::ALL),
                placeholders(rows, columns::ALL.len()),
                columns::overwrite()
            )
            .into()
        })
    });
    for (statement, winners) in in_sizes(&STATEMENTS, winners) {
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for stored in winners {
            for cell in columns::cells(stored) {
                query = match cell {
                    Cell::Text(text) => query.bind(text),
                    Cell::Number(number) => query.bind(number),
                };
            }
        }
        query.execute(&mut *writing).await?;
    }
    Ok(())
}

/// `rows` times `(?, ?, …)`.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![row; rows].join(", ")
}

/// The rows in pieces, each with the statement of its size; the largest sizes first.
fn in_sizes<'a, 'b>(statements: &[Arc<str>; 3], rows: &'a [&'b Stored]) -> Vec<(Arc<str>, &'a [&'b Stored])> {
    let mut pieces = Vec::new();
    let mut rest = rows;
    for (size, statement) in SIZES.into_iter().zip(statements) {
        while rest.len() >= size {
            let (piece, after) = rest.split_at(size);
            pieces.push((Arc::clone(statement), piece));
            rest = after;
        }
    }
    pieces
}
