//! Postgres, for services in processes of their own.
//!
//! Connects when it is first needed and again whenever it must: a Postgres that is away makes every call
//! [`StoreError::Unavailable`] within a bounded time and is no reason to end. The first call that reaches it makes the tables.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::{Secret, TimestampMs};
use serde::Deserialize;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{Connection, Postgres, QueryBuilder};

use super::migration::Migration;
use super::{Database, pool};
use crate::error::{StoreError, classify};
use crate::outcomes::FOLDED_TABLES;

/// Rows that one deletion takes, so that it never holds locks long.
const DELETED_AT_ONCE: i64 = 5_000;

/// A table was dropped under us, perhaps with its schema.
const NO_SUCH_TABLE: &str = "42P01";

/// Where Postgres is, and the limits towards it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with libpq's parameters (`sslmode`, `sslrootcert`, …).
    pub url: Secret,
    /// Most connections.
    pub max_connections: u32,
    /// The longest wait for a connection.
    #[serde(with = "humantime_serde")]
    pub acquire_timeout: Duration,
    /// The longest one statement may run on the server; 0s leaves it to the server.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    /// The longest one call of ours takes, also when the server has gone silent.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// The longest that making or changing the tables may take, other processes that do it included; calls wait no longer for it than
    /// for anything else.
    #[serde(with = "humantime_serde")]
    pub migration_timeout: Duration,
    /// Run-time parameters of each session, as they are: `search_path`, `application_name`, …
    pub parameters: BTreeMap<String, String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            url: "postgres://127.0.0.1:5432/relay".into(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            migration_timeout: Duration::from_hours(1),
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

    /// Connects once, to see whether Postgres answers and lets us in; changes nothing.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let server = self.server()?.options(self.parameters.clone());
        let connected = PgConnection::connect_with(&server).await.map_err(classify)?;
        connected.close().await.map_err(classify)
    }

    /// The address.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] if the URL is none.
    fn server(&self) -> Result<PgConnectOptions, StoreError> {
        let url = self.url.expose();
        url.parse()
            .map_err(|error| StoreError::Fatal(format!("the store's URL: {error}")))
    }

    /// Refuses what is no address.
    pub fn check(&self) -> Result<(), StoreError> {
        self.server().map(drop)
    }
}

/// Every subject in Postgres.
pub struct PostgresStore {
    pub(crate) pool: PgPool,
    migration: Migration,
    call_timeout: Duration,
}

impl PostgresStore {
    /// Prepares the pool; nothing is connected yet. Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Fatal`] if the URL is none.
    pub fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let mut server = options.server()?;
        let migration = Migration::new(
            server.clone().options(options.parameters.clone()),
            options.acquire_timeout,
            options.migration_timeout,
        );
        if !options.statement_timeout.is_zero() {
            // Less than a millisecond would read as no limit.
            let limit_ms = options.statement_timeout.as_millis().max(1);
            server = server.options([("statement_timeout", limit_ms)]);
        }
        server = server.options(options.parameters);
        let pool = pool(options.max_connections, options.acquire_timeout)
            // In a transaction that was left open, what comes next would never be committed.
            .after_release(|connection: &mut PgConnection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            })
            .connect_lazy_with(server);
        Ok(Self {
            pool,
            migration,
            call_timeout: options.call_timeout,
        })
    }

    /// Makes the tables once, then does `work`, all in bounded time.
    pub(crate) async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let call = async {
            self.migration.done().await?;
            work.await.map_err(|error| {
                let code = error.as_database_error().and_then(DatabaseError::code);
                if code.is_none_or(|code| code != NO_SUCH_TABLE) {
                    return classify(error);
                }
                self.migration.forget();
                StoreError::Unavailable(format!("{error}; the tables are made anew"))
            })
        };
        let silent =
            |_| StoreError::Unavailable(format!("no answer within {} ms", self.call_timeout.as_millis()));
        tokio::time::timeout(self.call_timeout, call)
            .await
            .map_err(silent)?
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
            let done = self.call(statement.execute(&self.pool)).await?;
            deleted += done.rows_affected();
            if done.rows_affected() < DELETED_AT_ONCE as u64 {
                return Ok(deleted);
            }
        }
    }
}

#[async_trait]
impl Database for PostgresStore {
    async fn probe(&self) -> Result<(), StoreError> {
        // Reads nothing, and finds out whether one of them was dropped.
        let mut probe = QueryBuilder::<Postgres>::new("SELECT 1 FROM ");
        probe.push(FOLDED_TABLES.join(", ")).push(" LIMIT 0");
        self.call(probe.build().execute(&self.pool)).await.map(drop)
    }
}
