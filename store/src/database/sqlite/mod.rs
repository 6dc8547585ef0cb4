//! One `SQLite` file: nothing to install.
//!
//! One connection writes, some read (WAL lets them side by side). A commit is on disk before it counts
//! (`synchronous = FULL`): the offsets of what was folded are committed after it, so they must not survive it.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::TimestampMs;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::Database;
use crate::error::{StoreError, classify, classify_migration};
use crate::migrations;

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

/// Every subject in one `SQLite` file.
pub struct SqliteStore {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
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

    /// Runs a deletion that takes an instant and a number of rows until it finds no more; says how many rows went.
    pub(crate) async fn delete_rows(
        &self,
        deletion: &'static str,
        before: TimestampMs,
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let statement = sqlx::query(deletion).bind(before.0).bind(DELETED_AT_ONCE);
            let done = statement.execute(&self.writer).await.map_err(classify)?;
            deleted += done.rows_affected();
            if done.rows_affected() < DELETED_AT_ONCE as u64 {
                return Ok(deleted);
            }
        }
    }
}

#[async_trait]
impl Database for SqliteStore {
    async fn probe(&self) -> Result<(), StoreError> {
        let probe = sqlx::query("SELECT 1").execute(&self.readers).await;
        probe.map(drop).map_err(classify)
    }
}

/// The rows in pieces of few sizes, the largest first.
pub(crate) fn in_sizes<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (piece, after) = rest.split_at(size);
        rest = after;
        Some(piece)
    })
}
