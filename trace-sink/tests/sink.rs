//! The sink as a whole, on the embedded bus, `SQLite` and the in-process seam.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{bare, complete};
use relay_bus::topics::{DEAD_LETTERS, Manifest, OUTCOMES};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition};
use relay_control::{Control, ControlError, InProcessControl, InProcessOptions, ask, subjects};
use relay_runner::{Health, Identity, Runtime, Shutdown};
use relay_schemas::{
    Outcome, OutcomeStatus, RequestId, Service, TimestampMs, WinnerAnswer, WinnerQuery, encode,
};
use relay_store::{
    Database, LoggedOutcome, Outcomes, SqliteStore, StoreError, TraceFilter, TraceSummary, Traces, Verdict,
};
use relay_trace_sink::{Config, Deps, Error, run};
use tokio::task::JoinHandle;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

const TOPICS: &str = "
pools: [cpu]
topics:
  - { name: relay.outcomes.v1, partitions: 2 }
  - { name: relay.dead-letters.v1, partitions: 1 }
  - { name: relay.schemas.v1, partitions: 1, compacted: true }
";

/// A store that can be away, and that never takes one certain request.
struct Moody {
    store: SqliteStore,
    away: AtomicBool,
    /// How often it was to fold while it was away.
    missed: AtomicUsize,
}

impl Moody {
    fn check(&self) -> Result<(), StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("it is away".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Outcomes for Moody {
    async fn fold(&self, outcomes: &[LoggedOutcome]) -> Result<Vec<Verdict>, StoreError> {
        self.check().inspect_err(|_| {
            self.missed.fetch_add(1, Ordering::SeqCst);
        })?;
        if outcomes
            .iter()
            .any(|logged| logged.outcome.request_id.as_str() == "never")
        {
            return Err(StoreError::Refused("it is that one".to_owned()));
        }
        self.store.fold(outcomes).await
    }

    async fn forget_before(&self, before: TimestampMs) -> Result<(), StoreError> {
        self.check()?;
        self.store.forget_before(before).await
    }
}

#[async_trait]
impl Traces for Moody {
    async fn find(&self, request: &RequestId) -> Result<Option<LoggedOutcome>, StoreError> {
        self.check()?;
        self.store.find(request).await
    }

    async fn list(&self, filter: &TraceFilter) -> Result<Vec<TraceSummary>, StoreError> {
        self.check()?;
        self.store.list(filter).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.check()?;
        self.store.count().await
    }

    async fn delete_before(&self, before: TimestampMs) -> Result<u64, StoreError> {
        self.check()?;
        self.store.delete_before(before).await
    }
}

#[async_trait]
impl Database for Moody {
    async fn probe(&self) -> Result<(), StoreError> {
        self.check()?;
        self.store.probe().await
    }
}

/// What outlives a sink.
struct House {
    bus: Arc<dyn Bus>,
    store: Arc<Moody>,
    control: Arc<dyn Control>,
    health: Health,
    _folder: tempfile::TempDir,
}

/// A sink that runs.
struct Running {
    shutdown: Shutdown,
    metrics: prometheus::Registry,
    task: JoinHandle<Result<(), Error>>,
}

impl House {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::parse(TOPICS).unwrap();
        let bus =
            EmbeddedBus::open(folder.path().join("log"), &manifest, EmbeddedOptions::default()).unwrap();
        bus.apply(&manifest).await.unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.sqlite"))
            .await
            .unwrap();
        Self {
            bus: Arc::new(bus),
            store: Arc::new(Moody {
                store,
                away: AtomicBool::new(false),
                missed: AtomicUsize::new(0),
            }),
            control: Arc::new(InProcessControl::new(InProcessOptions::default())),
            health: Health::default(),
            _folder: folder,
        }
    }

    async fn publish(&self, outcome: &Outcome) {
        let mut headers = Headers::default();
        headers.set(
            relay_bus::header::REQUEST_ID,
            outcome.request_id.as_str().to_owned(),
        );
        headers.set(relay_bus::header::TENANT, outcome.tenant.as_str().to_owned());
        self.publish_value(outcome.request_id.as_str(), headers, encode(outcome))
            .await;
    }

    async fn publish_value(&self, key: &str, headers: Headers, value: axum::body::Bytes) {
        let record = Outgoing::keyed(OUTCOMES, key.to_owned(), headers, value);
        self.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    fn start(&self) -> Running {
        let (shutdown, metrics) = (Shutdown::default(), prometheus::Registry::new());
        let deps = Deps {
            runtime: Runtime {
                health: self.health.clone(),
                metrics: metrics.clone(),
                shutdown: shutdown.clone(),
                ..Runtime::new(Arc::clone(&self.bus))
            },
            identity: Identity {
                service: Service::TraceSink,
                instance: "sink".into(),
                epoch: 1,
            },
            control: Arc::clone(&self.control),
            tables: Arc::clone(&self.store).into(),
        };
        let config = Config {
            probe_interval: Duration::from_millis(10),
            ..Config::default()
        };
        Running {
            shutdown,
            metrics,
            task: tokio::spawn(run(config, deps)),
        }
    }

    async fn until_traces(&self, expected: u64) {
        until(async || self.store.count().await.is_ok_and(|count| count == expected)).await;
    }

    async fn winner(&self, id: &str) -> Option<Outcome> {
        let query = WinnerQuery {
            request_id: id.into(),
        };
        loop {
            match ask::<_, WinnerAnswer>(&*self.control, subjects::WINNER, &query, PATIENCE).await {
                Ok(answer) => return answer.outcome,
                Err(ControlError::NoResponder(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn dead_letters(&self) -> i64 {
        self.bus
            .range(&Partition::new(DEAD_LETTERS, 0))
            .await
            .unwrap()
            .high
    }
}

impl Running {
    fn counted(&self, name: &str) -> u64 {
        let families = self.metrics.gather();
        let of_name = families.iter().filter(|family| family.name() == name);
        of_name
            .flat_map(prometheus::proto::MetricFamily::get_metric)
            .map(|metric| metric.get_counter().get_value() as u64)
            .sum()
    }

    async fn drain(self) {
        self.shutdown.drain();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("a drain ends")
            .unwrap()
            .unwrap();
    }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes true");
}

fn failed(id: &str, reason: &str) -> Outcome {
    bare(
        id,
        OutcomeStatus::Failed,
        reason,
        relay_clock::Clock::system().now().0,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_outcome_of_a_request_is_kept_and_told_and_counted_once() {
    let house = House::build().await;
    let first = complete("one", "acme", "relay-chat", relay_clock::Clock::system().now().0);
    house.publish(&first).await;
    house.publish(&failed("one", "a zombie")).await;
    house.publish(&failed("two", "its only end")).await;
    let sink = house.start();
    house.until_traces(2).await;
    until(async || sink.counted("relay_outcomes_superseded_total") == 1).await;
    assert_eq!(house.winner("one").await, Some(first));
    assert_eq!(
        house.winner("two").await.and_then(|two| two.message).as_deref(),
        Some("its only end")
    );
    assert_eq!(house.winner("three").await, None);
    assert_eq!(sink.counted("relay_trace_sink_outcomes_total"), 2);
    assert_eq!(sink.counted("relay_trace_sink_tokens_total"), 21 + 87);
    assert_eq!(sink.counted("relay_trace_sink_cost_micro_usd_total"), 310);
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_stopped() {
    let house = House::build().await;
    for id in 0..50 {
        house.publish(&failed(&format!("before-{id}"), "lost")).await;
    }
    let sink = house.start();
    house.until_traces(50).await;
    sink.drain().await;
    for id in 0..50 {
        house.publish(&failed(&format!("after-{id}"), "lost")).await;
    }
    let sink = house.start();
    house.until_traces(100).await;
    assert_eq!(
        sink.counted("relay_trace_sink_redelivered_total"),
        0,
        "what was folded is not read again"
    );
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_waited_for_and_nothing_is_lost() {
    let house = House::build().await;
    house.store.away.store(true, Ordering::SeqCst);
    let sink = house.start();
    for id in 0..20 {
        house.publish(&failed(&format!("r{id}"), "lost")).await;
    }
    until(async || !house.health.is_ready()).await;
    assert!(
        house.health.all()["store"]
            .as_deref()
            .is_some_and(|reason| reason.contains("it is away"))
    );
    let query = WinnerQuery {
        request_id: "r0".into(),
    };
    let told = ask::<_, WinnerAnswer>(
        &*house.control,
        subjects::WINNER,
        &query,
        Duration::from_millis(50),
    )
    .await;
    assert!(
        matches!(told, Err(ControlError::Timeout { .. })),
        "not to know is no answer: {told:?}"
    );
    house.store.away.store(false, Ordering::SeqCst);
    house.until_traces(20).await;
    until(async || house.health.is_ready()).await;
    assert_eq!(house.dead_letters().await, 0);
    sink.drain().await;
}

/// Else an ingress that asks meanwhile would be told of an outcome that is not the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outcome_overtakes_one_that_waits_for_the_store() {
    let house = House::build().await;
    house.store.away.store(true, Ordering::SeqCst);
    let sink = house.start();
    house.publish(&failed("r", "first")).await;
    until(async || house.store.missed.load(Ordering::SeqCst) > 0).await;
    house.publish(&failed("r", "second")).await;
    house.store.away.store(false, Ordering::SeqCst);
    until(async || house.winner("r").await.is_some()).await;
    let winner = house.winner("r").await.and_then(|outcome| outcome.message);
    assert_eq!(winner.as_deref(), Some("first"));
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_or_stored_is_a_dead_letter_and_holds_nothing_up() {
    let house = House::build().await;
    house
        .publish_value("garbage", Headers::default(), "no outcome".into())
        .await;
    for id in 0..10 {
        house.publish(&failed(&format!("r{id}"), "lost")).await;
        if id == 5 {
            house.publish(&failed("never", "refused")).await;
        }
    }
    let sink = house.start();
    house.until_traces(10).await;
    until(async || house.dead_letters().await == 2).await;
    assert_eq!(house.winner("never").await, None);
    sink.drain().await;
}
