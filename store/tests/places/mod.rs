//! Where the cases run: `SQLite` in a folder of its own, Postgres at `RELAY_POSTGRES_URL` in a schema of its own, tables of a simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use relay_clock::Clock;
use relay_store::simulated::SimulatedTables;
use relay_store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Tables};
use sqlx::AssertSqlSafe;

/// A place that any number of stores can be opened at, as processes of their own would.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(PostgresOptions),
    Simulated(SimulatedTables),
}

impl Place {
    /// What a process of its own would open.
    pub(crate) async fn open(&self) -> Tables {
        match self {
            Self::Sqlite(folder) => {
                let file = folder.path().join("a/b/relay.sqlite");
                let options = SqliteOptions {
                    // Two stores fold into one file at once, and SQLite gives its lock to whoever asks at the right moment.
                    patience: Duration::from_secs(30),
                    ..SqliteOptions::default()
                };
                let tables = Tables::from(Arc::new(SqliteStore::at(&file, options, Clock::system())));
                tables.database.probe().await.unwrap();
                tables
            }
            Self::Postgres(options) => Arc::new(PostgresStore::connect(options.clone()).unwrap()).into(),
            Self::Simulated(tables) => tables.process(Arc::default()),
        }
    }
}

pub(crate) fn sqlite() -> Place {
    Place::Sqlite(tempfile::tempdir().unwrap())
}

pub(crate) fn simulated() -> Place {
    Place::Simulated(SimulatedTables::new(1))
}

pub(crate) async fn postgres() -> Place {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let url =
        std::env::var("RELAY_POSTGRES_URL").expect("RELAY_POSTGRES_URL names a Postgres: run `make test`");
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let schema = format!("store_{}_{number}", std::process::id());
    let mut admin = <sqlx::PgConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    let create = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    Place::Postgres(PostgresOptions {
        max_connections: 4,
        parameters: [("search_path".to_owned(), schema)].into(),
        ..PostgresOptions::new(url)
    })
}
