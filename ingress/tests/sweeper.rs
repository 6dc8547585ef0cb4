//! Nothing accepted is forgotten: what no service ends, the sweeper does.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::{Harness, completed, eventually, ms, runtime, worker};
use relay_bus::testing::{FaultyBus, turn_a_bit};
use relay_bus::topics::{self, Manifest};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, StartAt, header};
use relay_control::{Control, InProcessControl, InProcessOptions};
use relay_ingress::{Config, Deps};
use relay_lifecycle::{Ending, Known, end};
use relay_runner::Runtime;
use relay_schemas::{BatchRef, Outcome, OutcomeStatus, Request, Service, TimestampMs, encode, samples};

const GROUP: &str = "relay.ingress.sweeper";
const BODY: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#;

fn quick(config: &mut Config) {
    config.batch.enabled = false;
    config.cluster.probe_every = ms(20);
    config.cluster.sweep.every = ms(20);
    config.cluster.sweep.margin = ms(100);
}

/// Up to where the sweepers have dealt with requests.
async fn dealt_with(bus: &dyn Bus, partition: i32) -> i64 {
    let partition = Partition::new(topics::REQUESTS, partition);
    bus.committed(GROUP, &partition).await.unwrap().unwrap_or(0)
}

/// A log of a test's own, with `partitions` of requests and two of outcomes.
struct Place {
    bus: Arc<dyn Bus>,
    /// A sink that knows of no end answers on it.
    control: Arc<dyn Control>,
    folder: tempfile::TempDir,
}

fn open(folder: &Path, requests: &str, options: EmbeddedOptions) -> EmbeddedBus {
    let yaml = format!(
        "pools: [default]\ntopics:\n- {{name: {}, {requests}}}\n- {{name: {}, partitions: 2}}",
        topics::REQUESTS,
        topics::OUTCOMES
    );
    let manifest = Manifest::parse(&yaml).unwrap();
    EmbeddedBus::open(folder, &manifest, options, &relay_clock::Clock::system()).unwrap()
}

impl Place {
    fn new(partitions: i32) -> Self {
        Self::with(&format!("partitions: {partitions}"), EmbeddedOptions::default())
    }

    /// With other settings of the topic of requests, and of the log.
    fn with(requests: &str, options: EmbeddedOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), requests, options);
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        harness::serve_sink(Arc::clone(&control), Arc::default());
        Self {
            bus: Arc::new(FaultyBus::over(Arc::new(log))),
            control,
            folder,
        }
    }

    /// Closes the log, turns a bit of the record that holds `outcome`, and opens it again.
    fn damage(mut self, outcome: &Outcome) -> Self {
        let elsewhere = Self::new(1);
        self.bus = Arc::clone(&elsewhere.bus);
        turn_a_bit(self.folder.path(), &encode(outcome));
        let log = open(self.folder.path(), "partitions: 1", EmbeddedOptions::default());
        self.bus = Arc::new(FaultyBus::over(Arc::new(log)));
        self
    }

    /// Starts an ingress on it.
    async fn start(&self, instance: &str, change: impl FnOnce(&mut Config)) -> Runtime {
        self.start_by(relay_clock::Clock::system(), instance, change)
            .await
    }

    /// The same, by a clock of the test's own.
    async fn start_by(
        &self,
        clock: relay_clock::Clock,
        instance: &str,
        change: impl FnOnce(&mut Config),
    ) -> Runtime {
        let mut config = Config::default();
        quick(&mut config);
        change(&mut config);
        let runtime = Runtime {
            clock,
            ..runtime(Arc::clone(&self.bus))
        };
        let deps = Deps {
            runtime: runtime.clone(),
            identity: relay_runner::Identity {
                instance: instance.into(),
                ..harness::identity()
            },
            control: Arc::clone(&self.control),
            listener: tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        tokio::spawn(relay_ingress::run(config, deps));
        runtime
    }

    async fn accept(&self, request: &Request) {
        let key = request.request_id.as_str().to_owned();
        let record = Outgoing::keyed(topics::REQUESTS, key, Headers::of(request), encode(request));
        self.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    async fn end(&self, outcome: &Outcome) {
        let key = outcome.request_id.as_str().to_owned();
        let headers = Headers::of(outcome.request.as_ref().unwrap());
        let record = Outgoing::keyed(topics::OUTCOMES, key, headers, encode(outcome));
        self.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    /// As [`Place::end`], in the first partition.
    async fn end_in_the_first(&self, outcome: &Outcome) {
        let headers = Headers::of(outcome.request.as_ref().unwrap());
        let first = Partition::new(topics::OUTCOMES, 0);
        let record = Outgoing::to_partition(&first, headers, encode(outcome));
        self.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    /// Every outcome in the log, by id.
    async fn outcomes(&self) -> Vec<(String, OutcomeStatus)> {
        let mut found = Vec::new();
        for number in 0..2 {
            let partition = Partition::new(topics::OUTCOMES, number);
            let high = self.bus.range(&partition).await.unwrap().high;
            let mut reader = self.bus.read(vec![(partition, StartAt::Start)]).await.unwrap();
            let mut read = 0;
            while read < high {
                for record in reader.next().await.unwrap() {
                    read += 1;
                    let outcome = harness::read::<Outcome>(&record);
                    found.push((outcome.request_id.to_string(), outcome.status));
                }
            }
        }
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    async fn until_dealt_with(&self, partition: i32) {
        let high = self
            .bus
            .range(&Partition::new(topics::REQUESTS, partition))
            .await
            .unwrap()
            .high;
        eventually(async || (dealt_with(&*self.bus, partition).await == high).then_some(())).await;
    }
}

fn long_ago(id: &str) -> Request {
    Request {
        request_id: id.into(),
        deadline: TimestampMs(1_000),
        ..samples::request()
    }
}

fn swept(runtime: &Runtime) -> u64 {
    let families = runtime.metrics.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "relay_requests_swept_total");
    family.map_or(0, |family| {
        family.get_metric()[0].get_counter().get_value() as u64
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_service_ends_is_ended_by_the_sweeper_and_its_client_is_told() {
    let harness = Harness::with(quick).await;
    harness.serve_sink().await;
    let asking = harness.chat(&[("x-relay-deadline-ms", "200")], BODY);
    let (response, request) = tokio::join!(asking, harness.accepted());
    assert_eq!(response.status, 504, "{}", response.text());
    assert!(
        response.text().contains("deadline_exceeded"),
        "{}",
        response.text()
    );
    let outcome = harness.recorded().await;
    assert_eq!(
        (outcome.status, outcome.run.service),
        (OutcomeStatus::Expired, Service::Ingress)
    );
    assert!(outcome.message.unwrap().contains("the sweeper of the ingress"));
    assert_eq!(outcome.request.as_deref(), Some(&request));
    // An outcome is seen before it is acknowledged, and counted only then.
    eventually(async || (dealt_with(&*harness.bus, 0).await == 1).then_some(())).await;
    assert_eq!(harness.metric("relay_requests_swept_total").await, Some(1.0));
    assert!(harness.nothing_taken(topics::OUTCOMES), "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_ended_is_left_alone() {
    let harness = Harness::with(quick).await;
    let (response, ()) = tokio::join!(harness.chat(&[], BODY), async {
        let request = harness.accepted().await;
        harness.complete(&request, "hello").await;
    });
    assert_eq!(response.status, 200);
    eventually(async || (dealt_with(&*harness.bus, 0).await == 1).then_some(())).await;
    assert!(harness.nothing_taken(topics::OUTCOMES));
    assert_eq!(harness.metric("relay_requests_swept_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_what_the_sink_knows_to_have_ended_is_left_alone() {
    let harness = Harness::with(quick).await;
    harness.serve_sink().await;
    let request = long_ago("k1");
    harness.record(completed(&request, "long ago"));
    let record = Outgoing::keyed(topics::REQUESTS, "k1", Headers::of(&request), encode(&request));
    harness.bus.log.publish(vec![record], Vec::new()).await.unwrap();
    eventually(async || (dealt_with(&*harness.bus, 0).await == 1).then_some(())).await;
    assert!(harness.nothing_taken(topics::OUTCOMES));
}

/// It may have ended: the log that this round read back does not reach as far as the sink's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_sink_can_tell_of_is_left_to_a_later_round() {
    let harness = Harness::with(quick).await;
    let request = long_ago("k1");
    let record = Outgoing::keyed(topics::REQUESTS, "k1", Headers::of(&request), encode(&request));
    harness.bus.log.publish(vec![record], Vec::new()).await.unwrap();
    eventually(async || {
        let asked = harness.metric("relay_ingress_questions_total{to=\"sink\"}").await;
        asked.is_some_and(|asked| asked >= 2.0).then_some(())
    })
    .await;
    assert!(harness.nothing_taken(topics::OUTCOMES), "nor is it ended");
    assert_eq!(dealt_with(&*harness.bus, 0).await, 0);
    harness.serve_sink().await;
    eventually(async || (dealt_with(&*harness.bus, 0).await == 1).then_some(())).await;
    assert_eq!(harness.recorded().await.status, OutcomeStatus::Expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_what_was_open_is_still_swept() {
    let place = Place::new(3);
    for id in 0..12 {
        place.accept(&long_ago(&id.to_string())).await;
    }
    let first = place
        .start("one", |config| config.cluster.sweep.margin = ms(60_000))
        .await;
    // It has read them, and commits only what has ended: nothing.
    place.end(&completed(&long_ago("7"), "in time")).await;
    tokio::time::sleep(ms(200)).await;
    first.shutdown.stop();
    assert_eq!(swept(&first), 0);
    let second = place.start("two", |_| {}).await;
    for partition in 0..3 {
        place.until_dealt_with(partition).await;
    }
    let outcomes = place.outcomes().await;
    assert_eq!(outcomes.len(), 12, "{outcomes:?}");
    assert!(
        outcomes
            .iter()
            .all(|(id, status)| (id == "7") == (*status == OutcomeStatus::Completed))
    );
    assert_eq!(swept(&second), 11);
    second.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ingresses_share_the_sweeping_and_end_each_request_once() {
    let place = Place::new(4);
    let (one, other) = (place.start("one", |_| {}).await, place.start("two", |_| {}).await);
    for id in 0..40 {
        place.accept(&long_ago(&id.to_string())).await;
    }
    for partition in 0..4 {
        place.until_dealt_with(partition).await;
    }
    assert_eq!(place.outcomes().await.len(), 40);
    assert_eq!(swept(&one) + swept(&other), 40);
    one.shutdown.stop();
    other.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_memory_all_is_swept_that_has_not_ended_and_nothing_else() {
    let place = Place::new(2);
    for id in 0..60 {
        let request = long_ago(&format!("{id:02}"));
        place.accept(&request).await;
        if id % 3 != 0 {
            place.end(&completed(&request, "in time")).await;
        }
    }
    let runtime = place
        .start("one", |config| config.cluster.sweep.most_open = 4)
        .await;
    for partition in 0..2 {
        place.until_dealt_with(partition).await;
    }
    let outcomes = place.outcomes().await;
    assert_eq!(outcomes.len(), 60, "{outcomes:?}");
    assert_eq!(swept(&runtime), 20);
    runtime.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_request_that_cannot_be_read_is_ended_by_its_headers() {
    let place = Place::new(1);
    let mut headers = Headers::of(&long_ago("torn"));
    headers.set(header::BATCH_ID, "nightly");
    let record = Outgoing::keyed(topics::REQUESTS, "torn", headers, "no request");
    place.bus.publish(vec![record], Vec::new()).await.unwrap();
    // What names no request is nothing to end, and holds nothing up.
    let nameless = Outgoing::keyed(topics::REQUESTS, "x", Headers::default(), "nothing");
    place.bus.publish(vec![nameless], Vec::new()).await.unwrap();
    let runtime = place.start("one", |_| {}).await;
    place.until_dealt_with(0).await;
    assert_eq!(
        place.outcomes().await,
        [("torn".to_owned(), OutcomeStatus::Expired)]
    );
    runtime.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_late_within_the_margin_is_not_forestalled() {
    let place = Place::new(1);
    let runtime = place
        .start("one", |config| config.cluster.sweep.margin = ms(2_000))
        .await;
    let request = long_ago("late");
    place.accept(&request).await;
    tokio::time::sleep(ms(300)).await;
    let expired = Ending::because(OutcomeStatus::Failed, "no_plan", "late");
    let planner = relay_schemas::Run {
        service: Service::Planner,
        ..worker(1)
    };
    place
        .end(&end(
            Known::Request(&Arc::new(request)),
            planner,
            expired,
            TimestampMs(5),
        ))
        .await;
    place.until_dealt_with(0).await;
    assert_eq!(
        place.outcomes().await,
        [("late".to_owned(), OutcomeStatus::Failed)]
    );
    assert_eq!(swept(&runtime), 0);
    runtime.shutdown.stop();
}

/// Found by an attacker: requests of two seconds' age were ended as forgotten when a clock that had been set back was set right.
#[tokio::test]
async fn a_clock_that_is_set_makes_no_request_overdue() {
    let place = Place::new(1);
    let now = relay_clock::Clock::system().now();
    let (clock, hands) = relay_clock::Clock::manual(now);
    let ended = long_ago("ended");
    place.accept(&ended).await;
    place.end(&harness::completed(&ended, "in time")).await;
    place
        .accept(&Request {
            request_id: "r".into(),
            deadline: now.plus_ms(60_000),
            ..samples::request()
        })
        .await;
    let runtime = place.start_by(clock.clone(), "ingress-1", |_| {}).await;
    // A round is over: both are read.
    eventually(async || (dealt_with(&*place.bus, 0).await == 1).then_some(())).await;
    for jump in [3_600_000, -7_200_000, 3_600_000] {
        hands.step_to(clock.now().plus_ms(jump));
        hands.advance(ms(1_000));
        tokio::time::sleep(ms(300)).await;
        assert_eq!(swept(&runtime), 0, "{jump}");
    }
    // A round may have looked too early to count all of one step.
    eventually(async || {
        hands.advance(ms(70_000));
        (swept(&runtime) == 1).then_some(())
    })
    .await;
}

/// By reading: a clock that had been set forward by four minutes took them of a request that another ingress read after a rebalance,
/// and its live run was ended as forgotten.
#[tokio::test]
async fn a_request_that_is_read_after_the_clock_was_set_keeps_what_is_left_of_its_time() {
    let place = Place::new(1);
    let now = relay_clock::Clock::system().now();
    let (clock, hands) = relay_clock::Clock::manual(now);
    let ended = long_ago("ended");
    place.accept(&ended).await;
    place.end(&harness::completed(&ended, "in time")).await;
    place
        .accept(&Request {
            request_id: "r".into(),
            deadline: now.plus_ms(600_000),
            ..samples::request()
        })
        .await;
    clock.steady();
    hands.advance(ms(120_000));
    hands.step_to(clock.now().plus_ms(240_000));
    let runtime = place.start_by(clock.clone(), "ingress-1", |_| {}).await;
    eventually(async || (dealt_with(&*place.bus, 0).await == 1).then_some(())).await;
    hands.advance(ms(300_000));
    tokio::time::sleep(ms(300)).await;
    assert_eq!(swept(&runtime), 0, "three minutes are left");
    // A minute more than that: the log may have stamped the request a little later.
    hands.advance(ms(240_000));
    eventually(async || (swept(&runtime) == 1).then_some(())).await;
    runtime.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_no_outcome() {
    let place = Place::new(1);
    let request = long_ago("r");
    place.accept(&request).await;
    let garbage = Outgoing::keyed(topics::OUTCOMES, "r", Headers::of(&request), "no outcome");
    place.bus.publish(vec![garbage], Vec::new()).await.unwrap();
    let runtime = place.start("one", |_| {}).await;
    place.until_dealt_with(0).await;
    assert_eq!(swept(&runtime), 1);
    runtime.shutdown.stop();
}

/// The log does not say when that last outcome was appended, and so not whether it is worth while to read the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_outcome_lies_before_a_damaged_one_has_ended() {
    let place = Place::new(1);
    let (ended, damaged) = (long_ago("ended"), long_ago("damaged"));
    place.accept(&ended).await;
    place.accept(&damaged).await;
    place.end_in_the_first(&completed(&ended, "in time")).await;
    let last = completed(&damaged, "in time, too");
    place.end_in_the_first(&last).await;
    let place = place.damage(&last);
    let runtime = place.start("one", |_| {}).await;
    place.until_dealt_with(0).await;
    assert_eq!(swept(&runtime), 0);
    let outcomes = place
        .bus
        .range(&Partition::new(topics::OUTCOMES, 0))
        .await
        .unwrap();
    assert_eq!(outcomes.high, 2, "nothing was ended a second time");
    runtime.shutdown.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_record_is_gone_is_ended_and_holds_nothing_up() {
    let options = EmbeddedOptions {
        segment_age: ms(10),
        tidy_interval: ms(10),
        retention_grace: Duration::ZERO,
        ..EmbeddedOptions::default()
    };
    let place = Place::with("partitions: 1", options);
    let keep = async |settings: &str| {
        let topics = format!(
            "pools: [default]\ntopics: [{{ name: {}, {settings} }}]",
            topics::REQUESTS
        );
        place.bus.apply(&Manifest::parse(&topics).unwrap()).await.unwrap();
    };
    let ended = long_ago("ended");
    place.accept(&ended).await;
    place.end(&completed(&ended, "in time")).await;
    let mut line = long_ago("line");
    line.batch = Some(BatchRef {
        batch_id: "nightly".to_owned(),
        custom_id: "7".to_owned(),
    });
    place.accept(&line).await;
    let (clock, hands) = relay_clock::Clock::manual(relay_clock::Clock::system().now());
    let runtime = place
        .start_by(clock, "one", |config| config.cluster.sweep.margin = ms(1_500))
        .await;
    // A round is over: both are read. Only now may the log let them go.
    eventually(async || (dealt_with(&*place.bus, 0).await == 1).then_some(())).await;
    keep("partitions: 1, retention_size: 0B").await;
    let requests = Partition::new(topics::REQUESTS, 0);
    eventually(async || (place.bus.range(&requests).await.unwrap().low == 2).then_some(())).await;
    assert_eq!(swept(&runtime), 0, "it was gone before it was overdue");
    let ends = async |number: u64| {
        eventually(async || {
            hands.advance(ms(500));
            (swept(&runtime) == number).then_some(())
        })
        .await;
    };
    ends(1).await;
    // Else the next one may go before it is read.
    keep("partitions: 1").await;
    place.accept(&long_ago("next")).await;
    ends(2).await;
    place.until_dealt_with(0).await;
    assert_eq!(swept(&runtime), 2);
    let mut ends = Vec::new();
    for number in 0..2 {
        let outcomes = Partition::new(topics::OUTCOMES, number);
        let high = place.bus.range(&outcomes).await.unwrap().high;
        let mut reader = place.bus.read(vec![(outcomes, StartAt::Start)]).await.unwrap();
        let all = ends.len() + usize::try_from(high).unwrap();
        while ends.len() < all {
            ends.extend(reader.next().await.unwrap());
        }
    }
    let of_the_line = ends
        .iter()
        .find(|record| record.headers.request_id() == Some("line".into()))
        .unwrap();
    assert_eq!(of_the_line.headers.text(header::BATCH_ID), Some("nightly"));
    assert_eq!(of_the_line.headers.text(header::CUSTOM_ID), Some("7"));
    runtime.shutdown.stop();
}
