//! What both stores must do. Postgres is found by `RELAY_POSTGRES_URL`; each test has a schema of its own there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod samples;
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use relay_store::{PostgresOptions, PostgresStore, SqliteStore, Store};
use sqlx::AssertSqlSafe;

/// A place that any number of stores can be opened at, as processes of their own would.
pub(crate) enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(PostgresOptions),
}

impl Place {
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(folder) => Arc::new(
                SqliteStore::open(&folder.path().join("a/b/relay.sqlite"))
                    .await
                    .unwrap(),
            ),
            Self::Postgres(options) => Arc::new(PostgresStore::connect(options.clone()).unwrap()),
        }
    }
}

fn sqlite() -> Place {
    Place::Sqlite(tempfile::tempdir().unwrap())
}

async fn postgres() -> Place {
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

macro_rules! both {
    ($($case:ident),* $(,)?) => {
        mod in_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::suite::$case(crate::sqlite()).await;
            }
        )*}

        mod in_postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::suite::$case(crate::postgres().await).await;
            }
        )*}
    };
}

both!(
    an_outcome_comes_back_as_it_was,
    an_outcome_of_which_little_is_known_comes_back_as_it_was,
    text_that_databases_dislike_is_kept,
    the_first_in_partition_order_wins,
    a_lower_offset_takes_the_place_over_later,
    a_batch_is_judged_record_by_record,
    batches_of_every_size_are_stored,
    a_trace_deleted_is_not_folded_again,
    what_is_too_old_goes_and_what_is_not_stays,
    two_sinks_at_once_agree_on_one_winner,
    two_sinks_with_crossed_batches_do_not_wait_for_each_other_for_ever,
    the_list_is_filtered_and_paged_without_gaps,
    the_list_is_never_longer_than_allowed,
    everything_is_still_there_after_opening_again,
    a_store_that_is_there_can_be_probed,
    numbers_out_of_range_are_stored_as_they_are,
);

#[tokio::test]
async fn a_postgres_that_is_away_is_unavailable_in_bounded_time() {
    // A port that was just free: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let store = PostgresStore::connect(PostgresOptions {
        acquire_timeout_ms: 100,
        ..PostgresOptions::new(format!("postgres://nobody@127.0.0.1:{port}/nothing"))
    })
    .unwrap();
    suite::is_unavailable(&store).await;
}

#[tokio::test]
async fn a_postgres_that_says_nothing_is_unavailable_in_bounded_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = PostgresStore::connect(PostgresOptions {
        acquire_timeout_ms: 60_000,
        call_timeout_ms: 100,
        ..PostgresOptions::new(format!(
            "postgres://nobody@127.0.0.1:{port}/nothing?sslmode=disable"
        ))
    })
    .unwrap();
    suite::is_unavailable(&store).await;
}

#[tokio::test]
async fn a_url_that_is_none_is_said_at_once() {
    assert!(PostgresStore::connect(PostgresOptions::new("no url")).is_err());
}
