//! A whole ingress on a real socket, with a log and a pipeline that do what the test says.
#![allow(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

pub mod batch;
pub mod client;
pub mod second;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use relay_bus::testing::FaultyBus;
pub use relay_bus::testing::Mood;
use relay_bus::{Bus, Headers, Outgoing, header, topics};
use relay_control::{Control, InProcessControl, InProcessOptions, Listener, send, subjects};
use relay_ingress::{Config, Deps, Error};
use relay_lifecycle::{Ending, Known, end, final_of};
use relay_runner::{Identity, Runtime};
use relay_schemas::{
    Answer, Cancel, Delta, Final, Frame, Outcome, OutcomeStatus, Record, Request, RequestId, Run, Service,
    TokenCount, Usage, WinnerAnswer, WinnerQuery, decode, encode,
};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// The runtime of a process whose log is `bus`.
pub fn runtime(bus: Arc<dyn Bus>) -> Runtime {
    Runtime::new(bus)
}

/// An ingress of that name.
pub fn identity() -> Identity {
    Identity {
        service: Service::Ingress,
        instance: "ingress-1".into(),
        epoch: 17,
    }
}

/// A sink that answers with what `known` holds, until it is stopped.
pub fn serve_sink(control: Arc<dyn Control>, known: Arc<Mutex<HashMap<RequestId, Outcome>>>) -> AbortHandle {
    let answer = move |query: WinnerQuery| {
        let outcome = known.lock().get(&query.request_id).cloned();
        std::future::ready(WinnerAnswer {
            outcome,
            forgotten: false,
            ..WinnerAnswer::default()
        })
    };
    tokio::spawn(relay_control::serve(control, subjects::WINNER, None, answer)).abort_handle()
}

/// A sink has begun to answer.
pub async fn until_a_sink_answers(control: &dyn Control) {
    let query = WinnerQuery {
        request_id: RequestId::new("nobody"),
    };
    eventually(async || {
        let ask = relay_control::ask::<_, WinnerAnswer>(control, subjects::WINNER, &query, PATIENCE);
        ask.await.ok()
    })
    .await;
}

/// An ingress and the scripted world around it.
pub struct Harness {
    pub address: SocketAddr,
    pub bus: Arc<FaultyBus>,
    pub control: Arc<dyn Control>,
    pub runtime: Runtime,
    pub running: tokio::task::JoinHandle<Result<(), Error>>,
    sink: Arc<Mutex<HashMap<RequestId, Outcome>>>,
    /// How many records of each topic the test has looked at.
    seen: Mutex<HashMap<String, usize>>,
    _folder: tempfile::TempDir,
}

impl Harness {
    /// Starts an ingress with defaults.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts an ingress and waits until it is ready.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.batch.enabled = false;
        config.metrics_enabled = true;
        config.cluster.probe_every = ms(20);
        config.answers.cancel_every = ms(20);
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let log = [topics::REQUESTS, topics::OUTCOMES];
        let bus = Arc::new(FaultyBus::with_topics(folder.path(), &log));
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let runtime = runtime(bus.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deps = Deps {
            runtime: runtime.clone(),
            identity: identity(),
            control: control.clone(),
            listener,
        };
        let running = tokio::spawn(relay_ingress::run(config, deps));
        let harness = Self {
            address,
            bus,
            control,
            runtime,
            running,
            sink: Arc::default(),
            seen: Mutex::default(),
            _folder: folder,
        };
        harness.until_ready(200).await;
        harness
    }

    /// Waits until `/readyz` answers with `status`.
    pub async fn until_ready(&self, status: u16) -> client::Response {
        eventually(async || {
            let response = self.get("/readyz").await;
            (response.status == status).then_some(response)
        })
        .await
    }

    /// What the log does from now on.
    pub fn log(&self, mood: Mood) {
        self.bus.be(mood);
    }

    /// The next request that the log was given.
    pub async fn accepted(&self) -> Request {
        let record = self.taken(topics::REQUESTS).await;
        assert!(record.headers.get(header::CRC32).is_some());
        decode(record.value.as_deref().unwrap()).unwrap()
    }

    /// The next outcome that the log was given.
    pub async fn recorded(&self) -> Outcome {
        decode(self.taken(topics::OUTCOMES).await.value.as_deref().unwrap()).unwrap()
    }

    async fn taken(&self, topic: &str) -> Outgoing {
        let record = eventually(async || self.next_taken(topic)).await;
        *self.seen.lock().entry(topic.to_owned()).or_default() += 1;
        record
    }

    /// Whether the log was given nothing (more) on `topic`.
    pub fn nothing_taken(&self, topic: &str) -> bool {
        self.next_taken(topic).is_none()
    }

    fn next_taken(&self, topic: &str) -> Option<Outgoing> {
        let seen = self.seen.lock().get(topic).copied().unwrap_or_default();
        let taken = self.bus.published().into_iter();
        taken.filter(|record| record.topic == topic).nth(seen)
    }

    /// Sends a frame of the worker's run.
    pub async fn frame(&self, request: &Request, seq: u32, text: &str) {
        self.frame_of(request, &worker(1), seq, text, None).await;
    }

    /// Sends a frame of a certain run.
    pub async fn frame_of(&self, request: &Request, run: &Run, seq: u32, text: &str, end: Option<Final>) {
        self.show(request, run, seq, relay_schemas::samples::deltas(text), end)
            .await;
    }

    /// Sends a frame that brings `deltas`.
    pub async fn show(&self, request: &Request, run: &Run, seq: u32, deltas: Vec<Delta>, end: Option<Final>) {
        let frame = Frame {
            request_id: request.request_id.clone(),
            run: run.clone(),
            seq,
            deltas,
            embeddings: Vec::new(),
            tokens: TokenCount(seq + 1),
            end,
        };
        let subject = request.reply_to.as_deref().unwrap();
        send(&*self.control, subject, frame).await.unwrap();
    }

    /// The log holds this outcome from now on.
    pub async fn append(&self, outcome: &Outcome) {
        let mut headers = Headers::default();
        headers.set(header::REQUEST_ID, outcome.request_id.as_str().to_owned());
        self.append_record(headers, encode(outcome)).await;
    }

    /// The same, whatever the record is.
    pub async fn append_record(&self, headers: Headers, value: Bytes) {
        let record = Outgoing::keyed(topics::OUTCOMES, "any", headers, value).sealed();
        self.bus.log.publish(vec![record], Vec::new()).await.unwrap();
    }

    /// A run ends as services end it: outcome first, then the last frame.
    pub async fn end(&self, request: &Request, seq: u32, outcome: &Outcome) {
        self.append(outcome).await;
        self.frame_of(request, &outcome.run, seq, "", Some(final_of(outcome)))
            .await;
    }

    /// Answers a request.
    pub async fn complete(&self, request: &Request, text: &str) {
        self.end(request, 0, &completed(request, text)).await;
    }

    /// From now on the sink knows this outcome.
    pub fn record(&self, outcome: Outcome) {
        self.sink.lock().insert(outcome.request_id.clone(), outcome);
    }

    /// A sink that answers, until it is stopped.
    pub async fn serve_sink(&self) -> AbortHandle {
        let sink = serve_sink(self.control.clone(), self.sink.clone());
        until_a_sink_answers(&*self.control).await;
        sink
    }

    /// A sink that takes its time.
    pub fn serve_slow_sink(&self, pause: Duration) {
        let sink = self.sink.clone();
        let answer = move |query: WinnerQuery| {
            let sink = sink.clone();
            async move {
                tokio::time::sleep(pause).await;
                let outcome = sink.lock().get(&query.request_id).cloned();
                WinnerAnswer {
                    outcome,
                    forgotten: false,
                    ..WinnerAnswer::default()
                }
            }
        };
        tokio::spawn(relay_control::serve(
            self.control.clone(),
            subjects::WINNER,
            None,
            answer,
        ));
    }

    /// Hears cancels from now on.
    pub async fn cancels(&self) -> Listener<Cancel> {
        relay_control::listen(&*self.control, subjects::CANCEL)
            .await
            .unwrap()
    }

    /// `GET` without headers.
    pub async fn get(&self, path: &str) -> client::Response {
        client::send(self.address, "GET", path, &[], b"").await
    }

    /// `POST /v1/chat/completions`.
    pub async fn chat(&self, headers: &[(&str, &str)], body: &str) -> client::Response {
        client::send(
            self.address,
            "POST",
            "/v1/chat/completions",
            headers,
            body.as_bytes(),
        )
        .await
    }

    /// `POST` to any address.
    pub async fn post(&self, path: &str, body: &str) -> client::Response {
        client::send(self.address, "POST", path, &[], body.as_bytes()).await
    }

    /// The same as [`Self::chat`], to be read piece by piece.
    pub async fn open(&self, headers: &[(&str, &str)], body: &str) -> client::Open {
        client::open(
            self.address,
            "POST",
            "/v1/chat/completions",
            headers,
            body.as_bytes(),
        )
        .await
    }

    /// The value of a metric's line that begins with `line`.
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text();
        let found = text.lines().find(|found| found.starts_with(line))?;
        found.rsplit(' ').next()?.parse().ok()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.runtime.shutdown.stop();
    }
}

/// Longest wait for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// That many milliseconds.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Looks again and again until there is something.
pub async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it comes in time")
}

/// The run of a worker.
pub fn worker(attempt: u32) -> Run {
    Run {
        service: Service::Workers,
        instance: "worker-1".into(),
        epoch: 3,
        attempt,
    }
}

/// The outcome of a success.
pub fn completed(request: &Request, text: &str) -> Outcome {
    answered(request, relay_schemas::samples::answer(text))
}

/// The outcome of a success with that answer.
pub fn answered(request: &Request, answer: Answer) -> Outcome {
    let ending = Ending {
        answer: Some(Arc::new(Answer {
            model: "tiny-v2".to_owned(),
            model_version: "1".to_owned(),
            ..answer
        })),
        usage: Usage {
            prompt_tokens: TokenCount(9),
            completion_tokens: TokenCount(4),
        },
        ..Ending::of(OutcomeStatus::Completed)
    };
    written(request, worker(1), ending)
}

/// The outcome of a failure.
pub fn failed(request: &Request, service: Service, status: OutcomeStatus, code: &str) -> Outcome {
    let run = Run { service, ..worker(1) };
    let ending = Ending::because(status, code, "it did not work");
    written(request, run, ending)
}

/// An outcome as the ingress reads it: who wrote it and how it ended; plan and lease play no part here.
fn written(request: &Request, run: Run, ending: Ending) -> Outcome {
    let status = ending.status;
    let planner = Run {
        service: Service::Planner,
        ..run.clone()
    };
    let failed = Ending {
        status: OutcomeStatus::Failed,
        ..ending
    };
    let outcome = end(
        Known::Request(&Arc::new(request.clone())),
        planner,
        failed,
        relay_clock::Clock::system().now(),
    );
    Outcome {
        status,
        run,
        ..outcome
    }
}

/// A record type, decoded.
pub fn read<T: Record>(record: &relay_bus::Record) -> T {
    decode(record.value.as_deref().unwrap()).unwrap()
}
