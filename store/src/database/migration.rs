//! Making Postgres's tables: beside the calls that need them, so that a change of a large table takes as long as it takes, while
//! each call says in its own time that it waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{making, pool};
use crate::error::{StoreError, classify};

/// The tables of one database, made once in the life of a process, and again where one of them turns out to be gone.
pub(super) struct Migration {
    /// Without a limit on statements.
    server: PgConnectOptions,
    connecting: Duration,
    limit: Duration,
    done: AtomicBool,
    running: Mutex<Option<JoinHandle<Result<(), StoreError>>>>,
}

impl Migration {
    /// `connecting`: the longest wait for a connection; `limit`: for everything.
    pub(super) fn new(server: PgConnectOptions, connecting: Duration, limit: Duration) -> Self {
        Self {
            // Whatever the server or the role has set.
            server: server.options([("statement_timeout", "0")]),
            connecting,
            limit,
            done: AtomicBool::new(false),
            running: Mutex::new(None),
        }
    }

    /// The tables turned out to be gone: the next call makes them.
    pub(super) fn forget(&self) {
        self.done.store(false, Ordering::Release);
    }

    /// Waits until the tables are made. May be dropped and called again at any time: it goes on.
    pub(super) async fn done(&self) -> Result<(), StoreError> {
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut running = self.running.lock().await;
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let task = running.get_or_insert_with(|| tokio::spawn(self.task()));
        let result = task.await;
        *running = None;
        let ended = |error| StoreError::Unavailable(format!("making the tables ended early: {error}"));
        result.map_err(ended)??;
        self.done.store(true, Ordering::Release);
        Ok(())
    }

    fn task(&self) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let (server, connecting, limit) = (self.server.clone(), self.connecting, self.limit);
        async move {
            let pool: PgPool = pool(1, connecting).connect_lazy_with(server);
            let late = |_| StoreError::Unavailable("the tables were not made in time".to_owned());
            let making = async { making::make(&mut *pool.acquire().await.map_err(classify)?).await };
            let made = tokio::time::timeout(limit, making).await;
            pool.close().await;
            made.map_err(late)?
        }
    }
}
