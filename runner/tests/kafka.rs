//! The stage runner on Apache Kafka: members of a group share a topic, and go on where they were left.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_bus::testing::{apply, brokers, delete, unique};
use relay_bus::{Bus, BusError, Headers, KafkaBus, KafkaOptions, Outgoing, Partition, Record, StartAt};
use relay_runner::{Backoff, Follow, Tail, ends};
use relay_runner::{
    Identity, RunnerError, Runtime, Shutdown, Stage, StageError, StageOptions, Step, run_stage,
};
use relay_schemas::Service;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(40);

/// Hands every record on, and remembers what it saw.
struct Echo {
    to: String,
    seen: Mutex<Vec<String>>,
    owned: Mutex<usize>,
}

#[async_trait]
impl Stage for Echo {
    type Effect = ();

    async fn on_record(&self, record: &Record) -> Result<Step<()>, StageError> {
        let value = record
            .value
            .clone()
            .ok_or_else(|| StageError::Poison("a tombstone".to_owned()))?;
        self.seen.lock().push(String::from_utf8(value.to_vec()).unwrap());
        Ok(Step::publish(Outgoing::keyed(
            &self.to,
            "k",
            Headers::default(),
            value,
        )))
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        *self.owned.lock() = owned.len();
    }

    async fn after_ack(&self, (): ()) {}
}

struct Process {
    stage: Arc<Echo>,
    shutdown: Shutdown,
    running: JoinHandle<Result<(), RunnerError>>,
}

fn process(from: &str, to: &str) -> Process {
    let runtime = Runtime::new(Arc::new(
        KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap(),
    ));
    let identity = Identity {
        service: Service::Planner,
        instance: "planner-1".into(),
        epoch: 1,
    };
    let stage = Arc::new(Echo {
        to: to.to_owned(),
        seen: Mutex::default(),
        owned: Mutex::default(),
    });
    let options = StageOptions::new(format!("{from}.g"), vec![from.to_owned()]);
    let (worker, shutdown) = (stage.clone(), runtime.shutdown.clone());
    let running = tokio::spawn(async move { run_stage(worker, &runtime, &identity, options).await });
    Process {
        stage,
        shutdown,
        running,
    }
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes to hold in time");
}

async fn publish(bus: &KafkaBus, topic: &str, range: std::ops::Range<i32>) {
    let record =
        |n: i32| Outgoing::to_partition(&Partition::new(topic, n % 4), Headers::default(), n.to_string());
    bus.publish(range.map(record).collect(), Vec::new())
        .await
        .unwrap();
}

async fn committed(bus: &KafkaBus, topic: &str) -> i64 {
    let mut sum = 0;
    for partition in 0..4 {
        let group = format!("{topic}.g");
        sum += bus
            .committed(&group, &Partition::new(topic, partition))
            .await
            .unwrap()
            .unwrap_or(0);
    }
    sum
}

/// What is only decided is read once more where partitions change hands.
async fn until_committed(bus: &KafkaBus, topic: &str, records: i64) {
    let wait = async {
        while committed(bus, topic).await != records {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("all of it is committed in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_share_a_topic_and_go_on_where_they_were_left() {
    let bus = KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap();
    let (from, to) = (unique("from"), unique("to"));
    apply(&bus, &format!("name: {from}, partitions: 4")).await;
    apply(&bus, &format!("name: {to}, partitions: 1")).await;
    publish(&bus, &from, 0..1_000).await;
    let first = process(&from, &to);
    until_committed(&bus, &from, 1_000).await;
    let second = process(&from, &to);
    until(|| *first.stage.owned.lock() == 2 && *second.stage.owned.lock() == 2).await;
    publish(&bus, &from, 1_000..2_000).await;
    until_committed(&bus, &from, 2_000).await;
    for process in [first, second] {
        process.shutdown.drain();
        process.running.await.unwrap().unwrap();
    }
    publish(&bus, &from, 2_000..2_010).await;
    let third = process(&from, &to);
    until(|| third.stage.seen.lock().len() >= 10).await;
    third.shutdown.drain();
    third.running.await.unwrap().unwrap();
    assert_eq!(
        committed(&bus, &from).await,
        2_010,
        "leaving commits what is finished"
    );
    let seen: BTreeSet<String> = third.stage.seen.lock().iter().cloned().collect();
    assert_eq!(seen, (2_000..2_010).map(|n| n.to_string()).collect());
    let mut reader = bus
        .read(vec![(Partition::new(&to, 0), StartAt::Start)])
        .await
        .unwrap();
    let mut out = BTreeSet::new();
    while out.len() < 2_010 {
        let records = tokio::time::timeout(PATIENCE, reader.next())
            .await
            .expect("all of them come")
            .unwrap();
        out.extend(
            records
                .iter()
                .map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()),
        );
    }
    assert_eq!(out, (0..2_010).map(|n| n.to_string()).collect());
}

fn tail(bus: &Arc<KafkaBus>, from: Vec<(Partition, i64)>) -> Tail {
    let backoff = Backoff::new(
        Duration::from_millis(50),
        Duration::from_secs(1),
        &relay_runner::Chance::system(),
    );
    Tail::open(
        &Runtime::new(bus.clone()),
        Follow::topics(from),
        4,
        backoff,
        Box::new(|_| {}),
    )
}

async fn next(tail: &mut Tail) -> Result<Vec<Record>, BusError> {
    tokio::time::timeout(PATIENCE, tail.next())
        .await
        .expect("there is something in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_topics_apply_adds_while_a_topic_is_followed_are_read_from_their_start() {
    let options = KafkaOptions {
        topic_refresh: Duration::from_millis(500),
        ..KafkaOptions::new(brokers())
    };
    let bus = Arc::new(KafkaBus::connect(options, &relay_clock::Clock::system()).unwrap());
    let other = KafkaBus::connect(KafkaOptions::new(brokers()), &relay_clock::Clock::system()).unwrap();
    let topic = unique("grows");
    apply(&other, &format!("name: {topic}, partitions: 2")).await;
    let mut tail = tail(&bus, ends(&*bus, &topic).await.unwrap());
    apply(&other, &format!("name: {topic}, partitions: 4")).await;
    publish(&other, &topic, 0..10).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        let records = next(&mut tail).await.unwrap();
        let texts = records
            .iter()
            .map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()));
        seen.extend(texts.map(Result::unwrap));
    }
    assert_eq!(seen, (0..10).map(|n| n.to_string()).collect());
    // Made anew and empty: no record shows that.
    delete(&other, &topic).await;
    apply(&other, &format!("name: {topic}, partitions: 4")).await;
    let said = next(&mut tail).await.unwrap_err().to_string();
    assert!(said.contains(&topic) && said.contains("made anew"), "{said}");
}
