//! The sink as a whole, on the embedded bus, `SQLite` and the in-process seam.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{bare, complete};
use relay_bus::testing::{FaultyBus, Mood, buried, turn_a_bit};
use relay_bus::topics::{DEAD_LETTERS, Manifest, OUTCOMES};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition};
use relay_clock::Clock;
use relay_control::{Control, ControlError, InProcessControl, InProcessOptions, ask, subjects};
use relay_runner::{Health, Identity, Runtime, Shutdown};
use relay_schemas::{
    Outcome, OutcomeStatus, RequestId, Service, TimestampMs, WinnerAnswer, WinnerQuery, encode,
};
use relay_store::{
    Advance, Database, LoggedOutcome, Outcomes, Positions, SqliteOptions, SqliteStore, StoreError,
    TraceFilter, TraceSummary, Traces, Verdict,
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
    /// Only folding is not possible.
    no_folding: AtomicBool,
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
    async fn fold(
        &self,
        outcomes: &[LoggedOutcome],
        advances: &[Advance],
    ) -> Result<Vec<Verdict>, StoreError> {
        let check = if self.no_folding.load(Ordering::SeqCst) {
            Err(StoreError::Unavailable("it is read only".to_owned()))
        } else {
            self.check()
        };
        check.inspect_err(|_| {
            self.missed.fetch_add(1, Ordering::SeqCst);
        })?;
        if outcomes
            .iter()
            .any(|logged| logged.outcome.request_id.as_str() == "never")
        {
            return Err(StoreError::Refused("it is that one".to_owned()));
        }
        self.store.fold(outcomes, advances).await
    }

    async fn has_ended(&self, request: &RequestId) -> Result<bool, StoreError> {
        self.check()?;
        self.store.has_ended(request).await
    }

    async fn folded(&self) -> Result<Positions, StoreError> {
        self.check()?;
        self.store.folded().await
    }

    async fn forget_all(&self) -> Result<(), StoreError> {
        self.check()?;
        self.store.forget_all().await
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
    folder: tempfile::TempDir,
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
        let bus = EmbeddedBus::open(
            folder.path().join("log"),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap();
        bus.apply(&manifest).await.unwrap();
        let options = SqliteOptions {
            patience: Duration::from_secs(5),
            ..SqliteOptions::default()
        };
        let store = SqliteStore::at(&folder.path().join("relay.sqlite"), options, Clock::system());
        Self {
            bus: Arc::new(bus),
            store: Arc::new(Moody {
                store,
                away: AtomicBool::new(false),
                no_folding: AtomicBool::new(false),
                missed: AtomicUsize::new(0),
            }),
            control: Arc::new(InProcessControl::new(InProcessOptions::default())),
            health: Health::default(),
            folder,
        }
    }

    /// Closes the log, turns a bit of the record that holds `outcome`, and opens it again.
    fn damage(&mut self, outcome: &Outcome) {
        let folder = self.folder.path().join("log");
        let manifest = Manifest::parse(TOPICS).unwrap();
        let open = |folder: &std::path::Path| {
            let bus = EmbeddedBus::open(folder, &manifest, EmbeddedOptions::default(), &Clock::system());
            Arc::new(bus.unwrap())
        };
        self.bus = open(&self.folder.path().join("other"));
        turn_a_bit(&folder, &encode(outcome));
        self.bus = open(&folder);
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
        self.answer(id).await.outcome
    }

    async fn answer(&self, id: &str) -> WinnerAnswer {
        let query = WinnerQuery {
            request_id: id.into(),
        };
        let asking = async {
            loop {
                let within = Duration::from_millis(200);
                match ask::<_, WinnerAnswer>(&*self.control, subjects::WINNER, &query, within).await {
                    Ok(answer) => return answer,
                    // Not there yet, or it cannot tell yet.
                    Err(ControlError::NoResponder(_) | ControlError::Timeout { .. }) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it is told")
    }

    /// Not to know is no answer.
    async fn cannot_tell(&self, id: &str) {
        let query = WinnerQuery {
            request_id: id.into(),
        };
        let within = Duration::from_millis(50);
        until(async || {
            let told = ask::<_, WinnerAnswer>(&*self.control, subjects::WINNER, &query, within).await;
            matches!(told, Err(ControlError::Timeout { .. }))
        })
        .await;
    }

    /// What `/readyz` says of the store.
    fn told(&self) -> String {
        self.health.told().get("store").cloned().unwrap_or_default()
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("relay.sqlite")
    }

    async fn publish_some(&self, ids: std::ops::Range<i32>) {
        for id in ids {
            self.publish(&failed(&format!("r{id}"), "lost")).await;
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

    fn gauge(&self, name: &str) -> i64 {
        let families = self.metrics.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.map_or(-1, |family| family.get_metric()[0].get_gauge().get_value() as i64)
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
async fn a_damaged_outcome_is_a_failed_end_and_never_makes_room_for_a_second_one() {
    let mut house = House::build().await;
    let first = complete("one", "acme", "relay-chat", Clock::system().now().0);
    house.publish(&first).await;
    house.publish(&failed("two", "its only end")).await;
    house.damage(&first);
    house.publish(&failed("one", "a zombie")).await;
    let sink = house.start();
    house.until_traces(2).await;
    let letters = buried(&*house.bus, 1).await;
    assert_eq!(
        (letters[0].partition.topic.as_str(), letters[0].offset),
        (OUTCOMES, 0)
    );
    let told = house.winner("one").await.unwrap();
    assert_eq!(
        (told.status, told.code.as_deref()),
        (OutcomeStatus::Failed, Some("record_damaged"))
    );
    assert_eq!(told.usage, relay_schemas::Usage::default(), "nothing is charged");
    assert_ne!(house.winner("two").await.unwrap().code, told.code);
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tables_hold_of_an_outcome_stands_when_its_record_is_damaged() {
    let mut house = House::build().await;
    let first = complete("one", "acme", "relay-chat", Clock::system().now().0);
    house.publish(&first).await;
    let sink = house.start();
    house.until_traces(1).await;
    sink.drain().await;
    house.damage(&first);
    let sink = house.start();
    house.publish(&failed("one", "a zombie")).await;
    house.publish(&failed("two", "its only end")).await;
    house.until_traces(2).await;
    let told = house.winner("one").await.unwrap();
    assert_eq!((told.status, told.usage), (first.status, first.usage));
    sink.drain().await;
}

/// Else a repeat under its key would be accepted under the same id, lose against an end that nobody knows, and wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_request_whose_trace_is_no_longer_kept_it_is_told_that_it_ended() {
    let house = House::build().await;
    house.publish(&failed("old", "long ago")).await;
    let sink = house.start();
    house.until_traces(1).await;
    house.store.delete_before(TimestampMs(i64::MAX)).await.unwrap();
    let told = house.answer("old").await;
    assert_eq!((told.outcome, told.forgotten), (None, true));
    let never = house.answer("never heard of").await;
    assert_eq!((never.outcome, never.forgotten), (None, false));
    sink.drain().await;
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
    // Counted a moment after it stands in the tables.
    until(async || sink.counted("relay_trace_sink_outcomes_total") == 2).await;
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
    until(async || house.told().contains("it is away")).await;
    until(async || sink.gauge("relay_trace_sink_degraded") == 1).await;
    house.cannot_tell("r0").await;
    house.store.away.store(false, Ordering::SeqCst);
    house.until_traces(20).await;
    until(async || house.told() == "ok" && house.health.is_ready()).await;
    assert_eq!(sink.gauge("relay_trace_sink_degraded"), 0);
    assert_eq!(house.dead_letters().await, 0);
    sink.drain().await;
}

/// Else an ingress that asks meanwhile would be told of an outcome that is not the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_outcome_overtakes_one_that_waits_for_the_store() {
    let house = House::build().await;
    house.store.no_folding.store(true, Ordering::SeqCst);
    let sink = house.start();
    house.publish(&failed("r", "first")).await;
    until(async || house.store.missed.load(Ordering::SeqCst) > 0).await;
    house.publish(&failed("r", "second")).await;
    house.store.no_folding.store(false, Ordering::SeqCst);
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

/// A log of `house` that can be told to misbehave where dead letters are published.
fn moody_log(house: &mut House) -> Arc<FaultyBus> {
    let log = Arc::new(FaultyBus::over(Arc::clone(&house.bus)).only_for(DEAD_LETTERS));
    house.bus = Arc::clone(&log) as Arc<dyn Bus>;
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_between_a_fold_and_its_dead_letters_neither_loses_nor_repeats_one() {
    for dies_while in [Mood::Holds, Mood::NeverAcknowledges] {
        let mut house = House::build().await;
        if dies_while == Mood::NeverAcknowledges {
            // Whose first commit was acknowledged.
            let sink = house.start();
            house.publish_some(0..1).await;
            house.until_traces(1).await;
            sink.drain().await;
        }
        house.publish_some(0..3).await;
        house
            .publish_value("garbage", Headers::default(), "no outcome".into())
            .await;
        house.publish(&failed("never", "refused")).await;
        let log = moody_log(&mut house);
        log.be(dies_while);
        let sink = house.start();
        house.until_traces(3).await;
        if dies_while == Mood::NeverAcknowledges {
            until(async || house.dead_letters().await == 2).await;
        }
        sink.task.abort();
        sink.task.await.unwrap_err();
        log.be(Mood::Works);
        let sink = house.start();
        until(async || house.dead_letters().await == 2).await;
        sink.drain().await;
        let sink = house.start();
        house.publish_some(3..4).await;
        house.until_traces(4).await;
        sink.drain().await;
        assert_eq!(house.dead_letters().await, 2, "{dies_while:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rebuilt_brings_no_second_dead_letter() {
    let house = House::build().await;
    house
        .publish_value("garbage", Headers::default(), "no outcome".into())
        .await;
    house.publish(&failed("never", "refused")).await;
    house.publish_some(0..3).await;
    let sink = house.start();
    house.until_traces(3).await;
    until(async || house.dead_letters().await == 2).await;
    house.store.forget_all().await.unwrap();
    until(async || sink.counted("relay_trace_sink_rebuilds_total") == 1).await;
    house.until_traces(3).await;
    house.publish_some(3..4).await;
    house.until_traces(4).await;
    sink.drain().await;
    assert_eq!(house.dead_letters().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_deleted_while_the_sink_runs_are_rebuilt_from_the_log() {
    let house = House::build().await;
    house.publish_some(0..30).await;
    let sink = house.start();
    house.until_traces(30).await;
    until(async || sink.counted("relay_trace_sink_outcomes_total") == 30).await;
    std::fs::remove_file(house.file()).unwrap();
    // Nothing new comes: it is noticed all the same.
    until(async || sink.counted("relay_trace_sink_rebuilds_total") == 1).await;
    house.until_traces(30).await;
    house.publish_some(30..40).await;
    house.until_traces(40).await;
    // A moment after it stands in the tables; and never, were what is folded again counted again.
    until(async || sink.counted("relay_trace_sink_outcomes_total") == 40).await;
    until(async || house.told() == "ok").await;
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_damaged_at_the_start_are_set_aside_and_rebuilt() {
    let house = House::build().await;
    house.publish_some(0..30).await;
    let sink = house.start();
    house.until_traces(30).await;
    sink.drain().await;
    std::fs::write(
        house.file(),
        "no tables, and no database at all: somebody wrote over it",
    )
    .unwrap();
    let sink = house.start();
    until(async || sink.counted("relay_trace_sink_rebuilds_total") == 1).await;
    house.until_traces(30).await;
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_damaged_while_the_sink_runs_are_set_aside_and_rebuilt() {
    let house = House::build().await;
    house.publish_some(0..30).await;
    let sink = house.start();
    house.until_traces(30).await;
    std::fs::write(house.file(), vec![0xA5; 20_000]).unwrap();
    until(async || sink.counted("relay_trace_sink_rebuilds_total") == 1).await;
    house.publish_some(30..31).await;
    house.until_traces(31).await;
    assert!(!sink.task.is_finished());
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_emptied_while_the_sink_runs_are_folded_again() {
    let house = House::build().await;
    house.publish_some(0..30).await;
    let sink = house.start();
    house.until_traces(30).await;
    house.store.forget_all().await.unwrap();
    until(async || sink.counted("relay_trace_sink_rebuilds_total") == 1).await;
    house.until_traces(30).await;
    sink.drain().await;
}

/// Else a repeat under a key that ended before would be taken for the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_something_is_missing_that_was_folded_once_nothing_is_said_to_be_unknown() {
    let house = House::build().await;
    house.publish_some(0..5).await;
    let sink = house.start();
    house.until_traces(5).await;
    until(async || {
        let committed = house
            .bus
            .committed("relay.trace-sink", &Partition::new(OUTCOMES, 0))
            .await;
        committed.unwrap().is_some_and(|next| next > 0)
    })
    .await;
    sink.drain().await;
    house.store.forget_all().await.unwrap();
    house.store.no_folding.store(true, Ordering::SeqCst);
    let sink = house.start();
    house.cannot_tell("r0").await;
    house.cannot_tell("never heard of").await;
    until(async || house.told().contains("read only")).await;
    assert!(house.health.is_ready(), "requests are served");
    house.store.no_folding.store(false, Ordering::SeqCst);
    assert_eq!(house.winner("never heard of").await, None);
    assert!(house.winner("r0").await.is_some());
    sink.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sinks_share_the_partitions_and_one_takes_over_where_the_other_stopped() {
    let house = House::build().await;
    let (one, other) = (house.start(), house.start());
    house.publish_some(0..50).await;
    house.until_traces(50).await;
    one.drain().await;
    house.publish_some(50..100).await;
    house.until_traces(100).await;
    assert_eq!(other.counted("relay_trace_sink_rebuilds_total"), 0);
    assert_eq!(other.counted("relay_trace_sink_redelivered_total"), 0);
    other.drain().await;
}

/// Reading goes on while another process locks the file: what waits to be folded is not unknown for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_outcomes_wait_to_be_folded_nothing_is_said_to_be_unknown() {
    let house = House::build().await;
    house.publish_some(0..2).await;
    let sink = house.start();
    house.until_traces(2).await;
    assert_eq!(house.winner("r2").await, None);
    house.store.no_folding.store(true, Ordering::SeqCst);
    house.publish_some(2..3).await;
    house.cannot_tell("r2").await;
    assert!(house.winner("r1").await.is_some(), "what is known is told");
    house.store.no_folding.store(false, Ordering::SeqCst);
    house.until_traces(3).await;
    assert!(house.winner("r2").await.is_some());
    sink.drain().await;
}
