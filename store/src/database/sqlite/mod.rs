//! One `SQLite` file: nothing to install.
//!
//! One connection writes, some read (WAL lets them side by side). A commit is on disk before it counts
//! (`synchronous = FULL`): the offsets of what was folded are committed after it, so they must not survive it.
//!
//! The file is opened when it is first needed and whenever it must be: one that was deleted or replaced while it was open is seen by
//! its inode, one that is damaged or lacks a table is set aside under another name, and both begin anew, empty. Whoever folds the log
//! notices by the positions that lie in the tables themselves. After a call that failed for any other reason than its data or a
//! lock, it is closed and opened again: `SQLite` may have rolled a transaction back by itself, which its connection would for ever
//! take for open, and a file that could only be read when it was opened stays so.

pub(crate) mod copy;
pub(crate) mod file;
pub(crate) mod rows;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use relay_clock::Clock;
use relay_schemas::TimestampMs;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use self::file::{Held, Inode};
use super::{Database, pool};
use crate::error::{StoreError, classify, classify_migration, taints};
use crate::migrations;

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
    path: PathBuf,
    options: SqliteOptions,
    clock: Clock,
    opened: Mutex<Option<Arc<Opened>>>,
    held: Mutex<Option<Held>>,
}

/// The file, as it was opened.
pub(crate) struct Opened {
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    inode: Inode,
    /// Its write-ahead log.
    log: Option<Inode>,
}

impl SqliteStore {
    /// The tables in the file at `path`, which nothing has looked at yet. The clock names what is set aside.
    pub fn at(path: &Path, options: SqliteOptions, clock: Clock) -> Self {
        Self {
            path: path.to_owned(),
            options,
            clock,
            opened: Mutex::new(None),
            held: Mutex::new(None),
        }
    }

    /// The same, opened, with its folder and tables made if they are not there.
    ///
    /// # Errors
    /// If that is not possible now.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Self::at(path, SqliteOptions::default(), Clock::system());
        store.opened().await?;
        Ok(store)
    }

    /// Copies the tables, as they are at one moment, into a new file at `to`, which is on disk when this returns. Folding goes on
    /// meanwhile. How far the copy is folded lies in it: whoever restores it has the rest folded from the log.
    ///
    /// # Errors
    /// Where there is a file already, or the copy cannot be made.
    pub async fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        let opened = self.opened().await?;
        // A connection of its own: readers may not write, not even elsewhere, and the writer is needed meanwhile.
        let own = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.options.patience);
        let copying = async {
            let mut own = own.connect().await?;
            let copying = sqlx::query("VACUUM INTO ?").bind(to.to_string_lossy().into_owned());
            copying.execute(&mut own).await?;
            own.close().await
        };
        let copied = copying.await;
        self.settled(&opened, copied).await?;
        file::sync(to).map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))
    }

    /// The file, opened if it is not open, or no longer the one that was opened.
    pub(crate) async fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let mut slot = self.opened.lock().await;
        if let Some(opened) = &*slot {
            if file::inode(&self.path) == Some(opened.inode) {
                return Ok(Arc::clone(opened));
            }
            tracing::warn!(
                file = %self.path.display(),
                "the file of the tables was deleted or replaced while it was open: it is opened anew"
            );
            let log = opened.log;
            let gone = slot.take();
            self.close(gone).await;
            file::remove_log(&self.path, log);
        }
        let opened = match self.open_file().await {
            Err(StoreError::Damaged(reason)) => {
                self.set_aside(&reason)?;
                self.open_file().await?
            }
            opened => opened?,
        };
        let opened = Arc::new(opened);
        *slot = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What became of a call on `opened`. Where that is damaged, it is set aside, and the next call begins anew; where its
    /// connections may be of no use any more, the next call opens it again.
    pub(crate) async fn settled<T>(
        &self,
        opened: &Arc<Opened>,
        result: Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let error = match result {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let tainted = taints(&error);
        let error = classify(error);
        if let StoreError::Damaged(reason) = &error {
            self.give_up(opened, Some(reason)).await?;
            return Err(StoreError::Unavailable(format!("{error}; it is set aside")));
        }
        if tainted && file::unwritable(&self.path).is_none() {
            self.give_up(opened, None).await?;
        }
        Err(error)
    }

    /// Closes the file, unless another call has done it, and sets it aside if it is damaged.
    async fn give_up(&self, opened: &Arc<Opened>, damage: Option<&str>) -> Result<(), StoreError> {
        let mut slot = self.opened.lock().await;
        if slot.as_ref().is_none_or(|now| !Arc::ptr_eq(now, opened)) {
            return Ok(());
        }
        let given_up = slot.take();
        self.close(given_up).await;
        match damage {
            Some(reason) if file::inode(&self.path) == Some(opened.inode) => self.set_aside(reason),
            _ => Ok(()),
        }
    }

    fn set_aside(&self, reason: &str) -> Result<(), StoreError> {
        let aside = file::set_aside(&self.path, self.clock.now()).map_err(|error| {
            let path = self.path.display();
            StoreError::Unavailable(format!(
                "{path} is damaged ({reason}) and cannot be set aside: {error}"
            ))
        })?;
        tracing::warn!(
            reason,
            set_aside = %aside.display(),
            "the file of the tables is damaged: it is set aside, and the tables begin anew (the newest {} such files are kept)",
            file::MOST_DAMAGED,
        );
        Ok(())
    }

    /// Lets go of the file before another one is opened in its place; a call that hangs on it is not waited for long.
    async fn close(&self, opened: Option<Arc<Opened>>) {
        let Some(opened) = opened else { return };
        let closing = async {
            opened.readers.close().await;
            opened.writer.close().await;
        };
        let _ = tokio::time::timeout(self.options.patience, closing).await;
    }

    async fn open_file(&self) -> Result<Opened, StoreError> {
        if let Some(error) = file::unwritable(&self.path) {
            let path = self.path.display();
            return Err(StoreError::Unavailable(format!(
                "{path} cannot be written: {error}"
            )));
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| StoreError::Unavailable(format!("{}: {error}", folder.display())))?;
        }
        let file = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(self.options.patience);
        // A connection to a file does not age, and one made anew has no statement prepared.
        let lasting = |most| {
            pool(most, self.options.patience)
                .max_lifetime(None)
                .idle_timeout(None)
        };
        let writer = lasting(1).connect_with(file.clone()).await.map_err(classify)?;
        let migrated = migrations::sqlite().run(&writer).await;
        if let Err(error) = migrated {
            writer.close().await;
            return Err(classify_migration(error));
        }
        let readers = lasting(self.options.readers)
            .connect_lazy_with(file.create_if_missing(false).pragma("query_only", "ON"));
        let inode = file::inode(&self.path)
            .ok_or_else(|| StoreError::Unavailable(format!("{} is gone", self.path.display())))?;
        Ok(Opened {
            writer,
            readers,
            inode,
            log: file::log_inode(&self.path),
        })
    }

    /// Runs a deletion that takes an instant and a number of rows until it finds no more; says how many rows went.
    pub(crate) async fn delete_rows(
        &self,
        deletion: &'static str,
        before: TimestampMs,
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let opened = self.opened().await?;
            let statement = sqlx::query(deletion).bind(before.0).bind(DELETED_AT_ONCE);
            let done = statement.execute(&opened.writer).await;
            let done = self.settled(&opened, done).await?;
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
        let opened = self.opened().await?;
        // A page that is in memory says nothing of the file.
        if Held::is_overwritten(&mut *self.held.lock().await, &self.path) {
            let damage = "it does not begin as such a file does";
            self.give_up(&opened, Some(damage)).await?;
            return self.opened().await.map(drop);
        }
        let probe = sqlx::query("SELECT count(*) FROM folded")
            .execute(&opened.readers)
            .await;
        self.settled(&opened, probe).await.map(drop)
    }
}
