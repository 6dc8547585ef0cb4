//! An ingress with its batch half, whose log is real.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use relay_bus::testing::FaultyBus;
use relay_bus::topics::{BATCH_REQUESTS, BATCH_RESULTS, Manifest, OUTCOMES, REQUESTS};
use relay_bus::{EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Reader, StartAt, header};
use relay_control::{Control, InProcessControl, InProcessOptions, send, subjects};
use relay_ingress::{Config, Deps};
use relay_runner::Runtime;
use relay_schemas::{BatchRequest, BatchShare, Outcome, PoolStatus, Request, RequestId, encode};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::{eventually, identity, read, runtime};

pub const GOOD: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;

/// An ingress whose log is real.
pub struct Batch {
    pub bus: Arc<FaultyBus>,
    pub runtime: Runtime,
    control: Arc<dyn Control>,
    pub running: tokio::task::JoinHandle<Result<(), relay_ingress::Error>>,
    configure: fn(&mut Config),
    /// What the sink knows.
    known: Arc<Mutex<HashMap<RequestId, Outcome>>>,
    sink: AbortHandle,
    _folder: tempfile::TempDir,
}

impl Batch {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bus = EmbeddedBus::open(
            folder.path(),
            &Self::manifest(),
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap();
        Self::configured(bus, folder, configure).await
    }

    pub fn manifest() -> Manifest {
        let one = |name: &str| format!("  - {{ name: {name}, partitions: 1 }}\n");
        let results = format!("  - {{ name: {BATCH_RESULTS}, partitions: 1, max_record: 4KiB }}\n");
        let topics: String = [
            REQUESTS,
            BATCH_REQUESTS,
            OUTCOMES,
            relay_bus::topics::DEAD_LETTERS,
        ]
        .map(one)
        .concat();
        let manifest = format!("pools: [default]\ntopics:\n{topics}{results}");
        Manifest::parse(&manifest).unwrap()
    }

    /// On a log that is there.
    pub async fn on(bus: EmbeddedBus, folder: tempfile::TempDir) -> Self {
        Self::configured(bus, folder, |_| {}).await
    }

    async fn configured(bus: EmbeddedBus, folder: tempfile::TempDir, configure: fn(&mut Config)) -> Self {
        let bus = Arc::new(FaultyBus::over(Arc::new(bus)));
        let runtime = runtime(bus.clone());
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let known = Arc::default();
        let sink = super::serve_sink(control.clone(), Arc::clone(&known));
        super::until_a_sink_answers(&*control).await;
        Self {
            running: start(&runtime, &control, configure).await,
            bus,
            runtime,
            control,
            configure,
            known,
            sink,
            _folder: folder,
        }
    }

    /// The ingress ends, and another one begins on the same log.
    pub async fn restart(&mut self) {
        self.runtime.shutdown.drain();
        (&mut self.running).await.unwrap().unwrap();
        self.runtime = runtime(self.runtime.bus.clone());
        self.running = start(&self.runtime, &self.control, self.configure).await;
    }

    /// What a line becomes.
    pub async fn request(&self, custom_id: &str) -> Request {
        self.line(custom_id, GOOD).await;
        eventually(async || {
            self.pool(0).await;
            (self.held(REQUESTS).await > 0).then_some(())
        })
        .await;
        read(&self.reader(REQUESTS).await.next().await)
    }

    pub async fn line(&self, custom_id: &str, body: &str) {
        self.put(BATCH_REQUESTS, "acme/nightly", encode(&line_of(custom_id, body)))
            .await;
    }

    /// The same line of another tenant.
    pub async fn line_of_tenant(&self, tenant: &str, custom_id: &str, body: &str) {
        let line = BatchRequest {
            tenant: tenant.into(),
            ..line_of(custom_id, body)
        };
        let key = format!("{tenant}/nightly");
        self.put(BATCH_REQUESTS, &key, encode(&line)).await;
    }

    /// A line whose value is no record, with or without its name in the headers.
    pub async fn garbage(&self, custom_id: Option<&str>) {
        let mut headers = Headers::default();
        if let Some(custom_id) = custom_id {
            headers.set(header::TENANT, "acme");
            headers.set(header::CUSTOM_ID, custom_id.to_owned());
        }
        let record = Outgoing::keyed(BATCH_REQUESTS, "acme/nightly", headers, "garbage");
        self.runtime.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    pub async fn outcome(&self, outcome: &Outcome) {
        self.put(OUTCOMES, outcome.request_id.as_str(), encode(outcome))
            .await;
    }

    pub async fn put(&self, topic: &str, key: &str, value: bytes::Bytes) {
        let record = Outgoing::keyed(topic, key.to_owned(), Headers::default(), value);
        self.runtime.bus.publish(vec![record], Vec::new()).await.unwrap();
    }

    pub async fn reader(&self, topic: &str) -> Records {
        let from = vec![(Partition::new(topic, 0), StartAt::Start)];
        Records {
            reader: self.runtime.bus.read(from).await.unwrap(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether a line was put off.
    pub fn waits_for_room(&self) -> bool {
        self.metric(r#"relay_ingress_batch_lines_total{result="put_off"} 1"#)
    }

    pub fn metric(&self, line: &str) -> bool {
        let families = self.runtime.metrics.gather();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap();
        text.lines().any(|found| found == line)
    }

    pub async fn held(&self, topic: &str) -> i64 {
        self.runtime
            .bus
            .range(&Partition::new(topic, 0))
            .await
            .unwrap()
            .high
    }

    /// From now on the sink knows this outcome.
    pub fn sink_knows(&self, outcome: &Outcome) {
        self.known
            .lock()
            .insert(outcome.request_id.clone(), outcome.clone());
    }

    /// The sink answers no more.
    pub fn silence_sink(&self) {
        self.sink.abort();
    }

    /// The sink answers again.
    pub async fn serve_sink(&mut self) {
        self.sink = super::serve_sink(self.control.clone(), Arc::clone(&self.known));
        super::until_a_sink_answers(&*self.control).await;
    }

    pub async fn pool(&self, waiting_batch: u32) {
        self.pool_with(waiting_batch, Vec::new()).await;
    }

    /// The pool's lines are all this tenant's.
    pub async fn pool_of(&self, tenant: &str, waiting: u32) {
        let share = BatchShare {
            tenant: tenant.into(),
            waiting,
            bytes: 0,
        };
        self.pool_with(waiting, vec![share]).await;
    }

    async fn pool_with(&self, waiting_batch: u32, batch_tenants: Vec<BatchShare>) {
        let status = PoolStatus {
            pool: "default".to_owned(),
            scheduler: "s".into(),
            epoch: 1,
            waiting_interactive: 0,
            waiting_batch,
            batch_bytes: 0,
            batch_tenants,
            running: 0,
            sent_at: relay_clock::Clock::system().now(),
        };
        let subject = subjects::pool_status("default");
        send(&*self.control, &subject, status).await.unwrap();
    }
}

pub fn line_of(custom_id: &str, body: &str) -> BatchRequest {
    BatchRequest {
        batch_id: "nightly".to_owned(),
        custom_id: custom_id.to_owned(),
        tenant: "acme".into(),
        operation: relay_schemas::Operation::Chat,
        body: body.to_owned(),
        deadline: None,
    }
}

async fn start(
    runtime: &Runtime,
    control: &Arc<dyn Control>,
    configure: fn(&mut Config),
) -> tokio::task::JoinHandle<Result<(), relay_ingress::Error>> {
    let mut config = Config::default();
    config.batch.waiting_limit = 10;
    config.batch.in_transit = super::ms(20);
    configure(&mut config);
    let deps = Deps {
        runtime: runtime.clone(),
        identity: identity(),
        control: control.clone(),
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    tokio::spawn(relay_ingress::run(config, deps))
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.runtime.shutdown.stop();
    }
}

/// The records of a topic, one after the other, however many come at once.
pub struct Records {
    reader: Box<dyn Reader>,
    waiting: VecDeque<relay_bus::Record>,
}

impl Records {
    pub async fn next(&mut self) -> relay_bus::Record {
        loop {
            if let Some(record) = self.waiting.pop_front() {
                return record;
            }
            let more = tokio::time::timeout(super::PATIENCE, self.reader.next());
            self.waiting.extend(more.await.expect("a record comes").unwrap());
        }
    }
}
