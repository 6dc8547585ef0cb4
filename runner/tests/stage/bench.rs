//! A log of its own, a stage whose answers are a closure, and a bus that can be told to fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use relay_bus::testing::FaultyBus;
use relay_bus::topics::{DEAD_LETTERS, Manifest, OUTCOMES, REQUESTS, SCHEMAS};
use relay_bus::{
    EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Position, Record, StartAt, header,
};
use relay_runner::{Identity, RunnerError, Runtime, Stage, StageError, StageOptions, Step, run_stage};
use relay_schemas::Service;
use tokio::task::JoinHandle;

/// Reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const IN: &str = "test.in";
pub const OUT: &str = "test.out";
pub const GROUP: &str = "relay.test";
/// Records of `OUTCOMES` may not be larger here.
pub const OUTCOME_LIMIT: usize = 32 * 1024;

pub struct Bench {
    pub bus: Arc<FaultyBus>,
    pub runtime: Runtime,
    pub identity: Identity,
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let topics = [IN, OUT, REQUESTS, DEAD_LETTERS, SCHEMAS].map(|name| {
            let partitions = if name == IN { 2 } else { 1 };
            format!("  - {{ name: {name}, partitions: {partitions} }}")
        });
        let outcomes = format!("  - {{ name: {OUTCOMES}, partitions: 1, max_record: {OUTCOME_LIMIT}B }}");
        let yaml = format!("pools: [default]\ntopics:\n{}\n{outcomes}\n", topics.join("\n"));
        let manifest = Manifest::parse(&yaml).unwrap();
        let log = EmbeddedBus::open(
            folder.path(),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap();
        let bus = Arc::new(FaultyBus::over(Arc::new(log)));
        let runtime = runtime(bus.clone());
        let identity = Identity {
            service: Service::Planner,
            instance: "planner-1".into(),
            epoch: 7,
        };
        Self {
            bus,
            runtime,
            identity,
            folder,
        }
    }

    /// Another process on the same log.
    pub fn process(&self) -> Runtime {
        runtime(self.bus.clone())
    }

    pub fn options(topics: &[&str]) -> StageOptions {
        StageOptions {
            retry_base: Duration::from_millis(1),
            retry_max: Duration::from_millis(5),
            max_attempts: 3,
            ..StageOptions::new(GROUP, topics.iter().map(|topic| (*topic).to_owned()).collect())
        }
    }

    /// Runs `stage` on `IN` in this process.
    pub fn start(&self, stage: &Arc<Scripted>) -> JoinHandle<Result<(), RunnerError>> {
        self.start_on(&self.runtime, stage, Self::options(&[IN]))
    }

    pub fn start_on(
        &self,
        runtime: &Runtime,
        stage: &Arc<Scripted>,
        options: StageOptions,
    ) -> JoinHandle<Result<(), RunnerError>> {
        let (stage, runtime, identity) = (stage.clone(), runtime.clone(), self.identity.clone());
        tokio::spawn(async move { run_stage(stage, &runtime, &identity, options).await })
    }

    /// Puts texts into partition 0 of `IN`.
    pub async fn put(&self, texts: &[&str]) {
        let partition = Partition::new(IN, 0);
        let record = |text: &&str| {
            let value = Bytes::from((*text).to_owned());
            Outgoing::to_partition(&partition, request_headers(text), value)
        };
        let records = texts.iter().map(record).collect();
        self.bus.log.publish(records, Vec::new()).await.unwrap();
    }

    /// The first `count` records of partition 0 of `topic`, waiting for them.
    pub async fn read(&self, topic: &str, count: usize) -> Vec<Record> {
        let from = vec![(Partition::new(topic, 0), StartAt::Start)];
        let mut reader = self.bus.log.read(from).await.unwrap();
        let mut found = Vec::new();
        while found.len() < count {
            let records = tokio::time::timeout(PATIENCE, reader.next()).await;
            found.extend(
                records
                    .unwrap_or_else(|_| panic!("{topic} holds only {}", found.len()))
                    .unwrap(),
            );
        }
        assert_eq!(found.len(), count, "{topic} holds more");
        found
    }

    /// How many records partition 0 of `topic` holds.
    pub async fn count(&self, topic: &str) -> i64 {
        self.bus.log.range(&Partition::new(topic, 0)).await.unwrap().high
    }

    pub async fn committed(&self) -> Option<i64> {
        self.bus
            .log
            .committed(GROUP, &Partition::new(IN, 0))
            .await
            .unwrap()
    }

    /// Waits until everything up to `next` of partition 0 of `IN` is committed.
    pub async fn until_committed(&self, next: i64) {
        until(|| async { self.committed().await == Some(next) }).await;
    }

    /// Drains the runner and waits for its end.
    pub async fn drain(&self, running: JoinHandle<Result<(), RunnerError>>) {
        self.runtime.shutdown.drain();
        ended(running).await.unwrap();
    }

    /// What the metric `name` of this process says, over all labels.
    pub fn metric(&self, name: &str) -> f64 {
        let families = self.runtime.metrics.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.unwrap_or_else(|| panic!("no metric {name}")).get_metric();
        metrics
            .iter()
            .map(|metric| metric.get_counter().get_value())
            .sum()
    }

    /// Keeps the files until here.
    pub fn close(self) {
        drop(self.bus);
        drop(self.folder);
    }
}

fn runtime(bus: Arc<FaultyBus>) -> Runtime {
    Runtime::new(bus)
}

/// The headers that the record of a request has.
pub fn request_headers(id: &str) -> Headers {
    let mut headers = Headers::default();
    headers.set(header::REQUEST_ID, id.to_owned());
    headers.set(header::TENANT, "tenant-1");
    headers.set(
        header::TRACEPARENT,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    );
    headers
}

pub fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text).collect()
}

pub async fn ended(running: JoinHandle<Result<(), RunnerError>>) -> Result<(), RunnerError> {
    tokio::time::timeout(PATIENCE, running)
        .await
        .expect("the runner ends in time")
        .unwrap()
}

/// Waits until `holds`.
pub async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes to hold in time");
}

type Answer = Result<Step<String>, StageError>;
type Script = Box<dyn Fn(&Record, usize) -> Answer + Send + Sync>;

/// A stage whose answers are a closure over the record and the number of the try, from 1.
pub struct Scripted {
    script: Script,
    tries: Mutex<HashMap<Position, usize>>,
    pub effects: Mutex<Vec<String>>,
    pub owned: Mutex<Vec<Partition>>,
    /// Records with this text wait here until the test lets them go on.
    pub gate: tokio::sync::Semaphore,
}

impl Scripted {
    pub fn new(script: impl Fn(&Record, usize) -> Answer + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            tries: Mutex::default(),
            effects: Mutex::default(),
            owned: Mutex::default(),
            gate: tokio::sync::Semaphore::new(0),
        })
    }

    /// Hands every record on to `OUT`.
    pub fn echo() -> Arc<Self> {
        Self::new(|record, _| Ok(onward(record)))
    }

    /// How often the record with this text was tried.
    pub fn began(&self) -> usize {
        self.tries.lock().len()
    }
}

/// To `OUT`, with its text as the effect.
pub fn onward(record: &Record) -> Step<String> {
    let out = Outgoing::keyed(OUT, "k", Headers::default(), record.value.clone().unwrap());
    Step::publish_then(out, text(record))
}

#[async_trait]
impl Stage for Scripted {
    type Effect = String;

    async fn on_record(&self, record: &Record) -> Answer {
        let nth = {
            let mut tries = self.tries.lock();
            let tries = tries.entry(record.position.clone()).or_default();
            *tries += 1;
            *tries
        };
        if record
            .value
            .as_deref()
            .is_some_and(|value| value.starts_with(b"slow"))
        {
            self.gate.acquire().await.unwrap().forget();
        }
        (self.script)(record, nth)
    }

    async fn on_partitions(&self, owned: &[Partition]) {
        *self.owned.lock() = owned.to_vec();
    }

    async fn after_ack(&self, effect: String) {
        assert_ne!(effect, "panic in the effect");
        self.effects.lock().push(effect);
    }
}
