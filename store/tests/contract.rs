//! What all databases must do, subject by subject, that of a simulation included while it has no faults.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod places;
mod samples;
mod suite;

use std::sync::Arc;
use std::time::Duration;

use relay_store::{PostgresOptions, PostgresStore};

macro_rules! all {
    ($($subject:ident { $($case:ident),* $(,)? })*) => {$(
        mod $subject {
            mod in_sqlite {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::suite::$subject::$case(crate::places::sqlite()).await;
                }
            )*}

            mod simulated {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::suite::$subject::$case(crate::places::simulated()).await;
                }
            )*}

            mod in_postgres {$(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::suite::$subject::$case(crate::places::postgres().await).await;
                }
            )*}
        }
    )*};
}

all!(
    outcomes {
        the_first_in_partition_order_wins,
        a_lower_offset_takes_the_place_over_later,
        a_trace_that_outlived_its_winner_is_written_anew,
        steps_in_any_number_of_partitions_are_taken_together_or_not_at_all,
        a_batch_is_judged_record_by_record,
        batches_of_every_size_are_stored,
        a_trace_deleted_is_not_folded_again,
        two_sinks_at_once_agree_on_one_winner,
        two_sinks_with_crossed_batches_do_not_wait_for_each_other_for_ever,
        how_far_is_folded_is_noted_with_the_rows,
        a_fold_that_begins_elsewhere_than_the_tables_stand_stores_nothing,
        two_sinks_of_one_partition_do_not_fold_it_twice,
        tables_that_are_emptied_know_nothing_and_stand_nowhere,
    }
    traces {
        an_outcome_comes_back_as_it_was,
        an_answer_with_tool_calls_reasoning_choices_and_logprobs_comes_back_whole,
        an_outcome_of_which_little_is_known_comes_back_as_it_was,
        text_that_databases_dislike_is_kept,
        numbers_out_of_range_are_stored_as_they_are,
        what_is_too_old_goes_and_what_is_not_stays,
        the_list_is_filtered_and_paged_without_gaps,
        the_list_is_never_longer_than_allowed,
        traces_are_found_by_whose_they_are,
    }
    database {
        everything_is_still_there_after_opening_again,
        a_store_that_is_there_can_be_probed,
    }
);

#[tokio::test]
async fn a_postgres_that_is_away_is_unavailable_in_bounded_time() {
    // A port that was just free: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let store = PostgresStore::connect(PostgresOptions {
        acquire_timeout: Duration::from_millis(100),
        ..PostgresOptions::new(format!("postgres://nobody@127.0.0.1:{port}/nothing"))
    })
    .unwrap();
    suite::database::is_unavailable(&Arc::new(store).into()).await;
}

#[tokio::test]
async fn a_postgres_that_says_nothing_is_unavailable_in_bounded_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let store = PostgresStore::connect(PostgresOptions {
        acquire_timeout: Duration::from_mins(1),
        call_timeout: Duration::from_millis(100),
        ..PostgresOptions::new(format!(
            "postgres://nobody@127.0.0.1:{port}/nothing?sslmode=disable"
        ))
    })
    .unwrap();
    suite::database::is_unavailable(&Arc::new(store).into()).await;
}

#[tokio::test]
async fn a_url_that_is_none_is_said_at_once() {
    assert!(PostgresStore::connect(PostgresOptions::new("no url")).is_err());
}

/// A change of a large table takes longer than any call may.
#[tokio::test]
async fn tables_are_made_whatever_the_limits_on_calls_and_statements() {
    let places::Place::Postgres(options) = places::postgres().await else {
        unreachable!("it is Postgres");
    };
    let store = PostgresStore::connect(PostgresOptions {
        statement_timeout: Duration::from_millis(1),
        call_timeout: Duration::from_millis(2),
        ..options.clone()
    });
    let hasty: relay_store::Tables = Arc::new(store.unwrap()).into();
    let schema = &options.parameters["search_path"];
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(options.url.expose())
        .await
        .unwrap();
    let made = async {
        loop {
            let _ = hasty.database.probe().await;
            let found = sqlx::query_scalar::<_, Option<String>>("SELECT to_regclass($1)::text")
                .bind(format!("{schema}.folded"))
                .fetch_one(&mut other);
            if found.await.unwrap().is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), made)
        .await
        .expect("they are made");
}

/// Found by reading: the list of migrations said that they were made, so a table that was dropped stayed away for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_lacks_a_table_sets_the_others_aside_and_begins_anew() {
    let places::Place::Postgres(options) = places::postgres().await else {
        unreachable!("it is Postgres");
    };
    let schema = &options.parameters["search_path"];
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(options.url.expose())
        .await
        .unwrap();
    let open = || relay_store::Tables::from(Arc::new(PostgresStore::connect(options.clone()).unwrap()));
    let (tables, second) = (open(), open());
    second.database.probe().await.unwrap();
    for table in [
        "folded",
        "winners",
        "request_traces",
        "folded",
        "_sqlx_migrations",
    ] {
        let first = samples::small("first", 0, 0);
        let to = |next| relay_store::Folded { next, whole_from: 0 };
        let advance = |from, next| relay_store::Advance {
            partition: 0,
            from,
            to: to(next),
        };
        tables
            .outcomes
            .fold(std::slice::from_ref(&first), &[advance(None, 1)])
            .await
            .unwrap();
        let dropping = format!("DROP TABLE {schema}.{table}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(dropping))
            .execute(&mut other)
            .await
            .unwrap();
        if table == "_sqlx_migrations" {
            // It is missed only at the next start.
            assert_eq!(open().outcomes.folded().await.unwrap().len(), 0, "{table}");
        } else {
            let told = tables.database.probe().await.unwrap_err().to_string();
            assert!(told.contains("the tables are made anew"), "{table}: {told}");
        }
        // Two processes meet it, and make them once.
        let (folded, _) = tokio::join!(tables.outcomes.folded(), second.database.probe());
        assert!(folded.unwrap().is_empty(), "{table}");
        assert!(second.outcomes.folded().await.unwrap().is_empty(), "{table}");
        assert_eq!(tables.traces.count().await.unwrap(), 0, "{table}");
        let lost = tables.outcomes.fold(&[], &[advance(Some(1), 2)]).await;
        assert!(
            matches!(lost, Err(relay_store::StoreError::Moved)),
            "{table}: {lost:?}"
        );
    }
    let kept = "SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename LIKE 'request\\_traces\\_damaged\\_%'";
    let kept: i64 = sqlx::query_scalar(kept)
        .bind(schema)
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(kept, 3, "of four that were left, the newest");
}
