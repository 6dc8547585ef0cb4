//! The sink on Postgres, from which somebody takes a table away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the other tests use the rest")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use common::bare;
use relay_bus::topics::{Manifest, OUTCOMES};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition};
use relay_clock::Clock;
use relay_control::{InProcessControl, InProcessOptions};
use relay_runner::{Health, Identity, Runtime, Shutdown};
use relay_schemas::{OutcomeStatus, Service, encode};
use relay_store::{PostgresOptions, PostgresStore, Tables};
use relay_trace_sink::{Config, Deps, run};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const TOPICS: &str = "
pools: [cpu]
topics:
  - { name: relay.outcomes.v1, partitions: 2 }
  - { name: relay.dead-letters.v1, partitions: 1 }
  - { name: relay.schemas.v1, partitions: 1, compacted: true }
";

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn publish(bus: &dyn Bus, ids: std::ops::Range<i32>) {
    for id in ids {
        let now = Clock::system().now().0;
        let outcome = bare(&format!("r{id}"), OutcomeStatus::Failed, "lost", now);
        let key = outcome.request_id.as_str().to_owned();
        let record = Outgoing::keyed(OUTCOMES, key, Headers::default(), encode(&outcome));
        bus.publish(vec![record], Vec::new()).await.unwrap();
    }
}

async fn told_the_group(bus: &dyn Bus) -> i64 {
    let mut sum = 0;
    for number in 0..2 {
        let partition = Partition::new(OUTCOMES, number);
        let committed = bus.committed("relay.trace-sink", &partition).await;
        sum += committed.unwrap().unwrap_or(0);
    }
    sum
}

fn rebuilds(metrics: &prometheus::Registry) -> u64 {
    let families = metrics.gather();
    let mut of_name = families
        .iter()
        .filter(|family| family.name() == "relay_trace_sink_rebuilds_total");
    of_name.next().map_or(0, |family| {
        family.get_metric()[0].get_counter().get_value() as u64
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_dropped_while_the_sink_runs_is_rebuilt_from_the_log() {
    let url =
        std::env::var("RELAY_POSTGRES_URL").expect("RELAY_POSTGRES_URL names a Postgres: run `make test`");
    let schema = format!("sink_{}", std::process::id());
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let mut sql = async |statement: String| {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await;
        done.unwrap();
    };
    sql(format!(
        "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"
    ))
    .await;
    let tables = Tables::from(Arc::new(
        PostgresStore::connect(PostgresOptions {
            parameters: [("search_path".to_owned(), schema.clone())].into(),
            ..PostgresOptions::new(url)
        })
        .unwrap(),
    ));
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(TOPICS).unwrap();
    let options = EmbeddedOptions::default();
    let bus = EmbeddedBus::open(folder.path(), &manifest, options, &Clock::system()).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(bus);
    let (health, shutdown, metrics) = (
        Health::default(),
        Shutdown::default(),
        prometheus::Registry::new(),
    );
    let deps = Deps {
        runtime: Runtime {
            health: health.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
            ..Runtime::new(Arc::clone(&bus))
        },
        identity: Identity {
            service: Service::TraceSink,
            instance: "sink".into(),
            epoch: 1,
        },
        control: Arc::new(InProcessControl::new(InProcessOptions::default())),
        tables: tables.clone(),
    };
    let config = Config {
        probe_interval: Duration::from_millis(10),
        ..Config::default()
    };
    publish(&*bus, 0..30).await;
    let sink = tokio::spawn(run(config, deps));
    let mut published = 30;
    for (turn, table) in ["winners", "folded", "request_traces"].into_iter().enumerate() {
        let all = |count| count == published;
        until("all are folded", async || {
            tables.traces.count().await.is_ok_and(|count| all(count as i64))
                && all(told_the_group(&*bus).await)
        })
        .await;
        sql(format!("DROP TABLE {schema}.{table}")).await;
        // Nothing new comes: it is noticed all the same.
        until(table, async || rebuilds(&metrics) == turn as u64 + 1).await;
        let next = published as i32;
        publish(&*bus, next..next + 5).await;
        published += 5;
    }
    until("all are there again", async || {
        tables
            .traces
            .count()
            .await
            .is_ok_and(|count| count as i64 == published)
    })
    .await;
    until("it is said", async || {
        health.told().get("store").is_some_and(|told| told == "ok")
    })
    .await;
    shutdown.drain();
    sink.await.unwrap().unwrap();
}
