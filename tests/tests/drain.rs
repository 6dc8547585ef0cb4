//! What a drain finishes, what it cuts, and how each is told: to clients, to load balancers, and by the exit code.

use std::time::Duration;

use relay_clock::Clock;
use relay_tests::ask::{End, Manner, Observation, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::mock::{Mock, executions};
use relay_tests::production::{Instance, PATIENT, Production, SERVICES, on_servers};
use relay_tests::proofs::{MOST, store};
use relay_tests::settle::folded;
use relay_tests::takeover::sum;
use relay_tests::{http, ledger};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// For those that use the servers, and Relay's own topic names there.
static TURN: Mutex<()> = Mutex::const_new(());

const PLENTY: Duration = Duration::from_secs(60);

/// Asks in the background.
fn asked(
    gateway: &Gateway,
    number: u64,
    manner: Manner,
    key: Option<&'static str>,
) -> JoinHandle<Observation> {
    let base = gateway.base_url.clone();
    tokio::spawn(async move {
        let prompt = unique_prompt(9_100_000 + number);
        ask(&http::client(), &base, "tenant-0", &prompt, manner, key).await
    })
}

/// Waits until so many requests have reached a worker.
async fn run(gateway: &Gateway, count: u64) {
    let in_flight = |text: &str| sum(text, "relay_workers_in_flight_requests{") == count;
    gateway.until("/metrics", in_flight).await.expect("they run");
}

/// Requests in flight, streamed and whole, with a key and without: a worker has asked the backend for each, and it answers none
/// before it is let go on.
struct InFlight {
    asked: Vec<JoinHandle<Observation>>,
}

impl InFlight {
    async fn begin(base: &str, mock: &Mock, worker: &str) -> Self {
        mock.pause();
        // The servers remember keys and answers of other runs.
        let seed = Clock::system().now().0.unsigned_abs();
        let ways = [
            (Manner::Streamed, true),
            (Manner::Whole, true),
            (Manner::Streamed, false),
            (Manner::Whole, false),
        ];
        let ask_thus = |(number, (manner, keyed)): (u64, (Manner, bool))| {
            let base = base.to_owned();
            tokio::spawn(async move {
                let (prompt, key) = (unique_prompt(seed + number), format!("drain-{seed}-{number}"));
                let key = keyed.then_some(key.as_str());
                ask(&http::client(), &base, "tenant-0", &prompt, manner, key).await
            })
        };
        let asked: Vec<_> = (0..).zip(ways).map(ask_thus).collect();
        let all_run = |text: &str| sum(text, "relay_workers_in_flight_requests{") == 4;
        http::until(&format!("{worker}/metrics"), all_run)
            .await
            .expect("they run");
        Self { asked }
    }

    /// Each gets its whole answer, and none ran twice.
    async fn end(self, mock: &Mock) {
        mock.resume();
        for asked in self.asked {
            let saw = asked.await.expect("the client ends");
            assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
        }
        let ran = executions(&mock.base_url).await.expect("the backend counts");
        assert_eq!(ran, 4);
    }
}

async fn drains(ops_url: &str) {
    let draining = |text: &str| text.contains("\"draining\":true");
    http::until(&format!("{ops_url}/readyz"), draining)
        .await
        .expect("it says so");
}

/// Of a gateway that is ready: at Ctrl-C all in flight ends with its answer.
async fn ctrl_c_loses_nothing(mut gateway: Gateway) {
    let in_flight = InFlight::begin(&gateway.base_url, &gateway.mock, &gateway.ops_url).await;
    gateway.signal("INT");
    drains(&gateway.ops_url).await;
    in_flight.end(&gateway.mock).await;
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    assert_eq!(status.code(), Some(0), "all finished: {}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_under_a_key_at_ctrl_c_ends_with_its_answer_streamed_and_not() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    gateway
        .configure(&format!("drain_timeout: 2m\n{PATIENT}"))
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    ctrl_c_loses_nothing(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_in_one_process_on_kafka_nats_and_postgres() {
    let _turn = TURN.lock().await;
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    let servers = on_servers().expect("the servers run");
    gateway
        .configure(&format!("{servers}drain_timeout: 2m\n{PATIENT}"))
        .expect("it is configured");
    gateway
        .reconfigure("ingress: {", "ingress: { answers: { untold: 40s },")
        .expect("it is configured");
    let applied = gateway.command(&["topics", "apply"]).expect("it runs");
    assert!(applied.status.success(), "{applied:?}");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    ctrl_c_loses_nothing(gateway).await;
}

fn first_of(service: &'static str) -> Instance {
    Instance { service, number: 0 }
}

/// Six processes that are to drain, with as much time as a busy machine may need.
async fn six_processes() -> (Production, InFlight) {
    let deployment = Production::prepare(KILLABLE, 1, &[]).expect("they are prepared");
    deployment.be_patient().expect("they are configured");
    deployment
        .reconfigure("lame_duck: 0s\n", "lame_duck: 0s\ndrain_timeout: 2m\n")
        .expect("they are configured");
    // Longer than all waits of these tests together.
    deployment
        .reconfigure("default: 45s", "default: 9m")
        .expect("they are configured");
    let deployment = deployment.started().await.expect("they start");
    let (bus, tables) = (ledger::kafka().expect("a client"), store().expect("the tables"));
    // Those of other runs: until then, the sink alone knows whether a key is new, to its end.
    folded(&*bus, &tables, MOST)
        .await
        .expect("the tables hold what ended");
    let worker = deployment.ops_url(&first_of("workers"));
    let in_flight = InFlight::begin(&deployment.base_urls[0], &deployment.mock, &worker).await;
    (deployment, in_flight)
}

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_that_are_ended_in_the_order_of_the_flow_answer_all_in_flight_and_exit_with_0() {
    let _turn = TURN.lock().await;
    let (mut deployment, in_flight) = six_processes().await;
    let [ingress, behind_it @ ..] = SERVICES.map(first_of);
    deployment.terminate(&ingress);
    drains(&deployment.ops_url(&ingress)).await;
    in_flight.end(&deployment.mock).await;
    deployment.drained(&ingress).expect("it ends with 0");
    for instance in behind_it {
        deployment.stop(&instance).expect("it ends with 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_processes_that_are_ended_at_once_answer_all_that_runs_and_exit_with_0() {
    let _turn = TURN.lock().await;
    let (mut deployment, in_flight) = six_processes().await;
    for instance in deployment.instances() {
        deployment.terminate(&instance);
    }
    for service in ["planner", "cache-service", "scheduler", "trace-sink"] {
        // The worst that may happen: they are gone before the first answer.
        deployment.drained(&first_of(service)).expect("it ends with 0");
    }
    for service in ["ingress", "workers"] {
        drains(&deployment.ops_url(&first_of(service))).await;
    }
    in_flight.end(&deployment.mock).await;
    for service in ["ingress", "workers"] {
        deployment.drained(&first_of(service)).expect("it ends with 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_is_not_ready_and_answers_until_a_second_signal_ends_it() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 2h\nlame_duck: 1h\n")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    gateway.signal("TERM");
    let draining = |text: &str| text.contains("\"draining\":true");
    gateway.until("/readyz", draining).await.expect("it says so");
    let ready = http::get(&format!("{}/readyz", gateway.base_url)).await;
    assert_eq!(ready.expect("it listens on").status(), 503);
    for (number, key) in [(1, None), (2, Some("key"))] {
        let saw = asked(&gateway, number, Manner::Streamed, key).await;
        let saw = saw.expect("the client ends");
        assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
    }
    gateway.signal("TERM");
    let status = gateway.wait(PLENTY).expect("it does not wait");
    assert_eq!(status.code(), Some(1), "{}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_finish_in_time_is_told_so_and_the_exit_code_is_3() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--first-ms", "3600000"]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 300ms\n")
        .expect("it is configured");
    gateway
        .reconfigure("ingress: {", "ingress: { timeouts: { keep_alive: 50ms },")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let whole = asked(&gateway, 1, Manner::Whole, Some("whole"));
    let body =
        json!({"model": "mock", "stream": true, "messages": [{"role": "user", "content": "a stream"}]});
    let streamed = http::client()
        .post(format!("{}/v1/chat/completions", gateway.base_url))
        .json(&body)
        .send();
    let streamed = streamed.await.expect("its headers come with the first comment");
    run(&gateway, 2).await;
    gateway.signal("INT");
    let whole = whole.await.expect("the client ends");
    assert_eq!(whole.end, End::Status(503, "shutting_down".to_owned()));
    let streamed = streamed.text().await.expect("the stream ends in order");
    let event = streamed.trim_end().rsplit("\n\n").next().unwrap_or_default();
    assert!(
        event.starts_with("data: {\"error\":") && event.contains("\"shutting_down\""),
        "{streamed}"
    );
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    assert_eq!(status.code(), Some(3), "{}", gateway.tail());
    assert!(gateway.tail().contains("(`drain_timeout`)"), "{}", gateway.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_under_a_key_is_answered_after_the_next_start() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--first-ms", "2000"]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 100ms\n")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let cut = asked(&gateway, 1, Manner::Whole, Some("key"));
    run(&gateway, 1).await;
    gateway.signal("TERM");
    let cut = cut.await.expect("the client ends");
    let status = gateway.wait(PLENTY).expect("it ends by itself");
    // On a slow machine the answer may be there by then.
    if cut.end == End::Status(503, "shutting_down".to_owned()) {
        assert_eq!(status.code(), Some(3), "{}", gateway.tail());
    }
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let saw = asked(&gateway, 1, Manner::Whole, Some("key"))
        .await
        .expect("the client ends");
    assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_body_holds_no_drain_up_on_either_listener_and_the_exit_code_is_0() {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    gateway
        .configure("drain_timeout: 2h\n")
        .expect("it is configured");
    gateway
        .reconfigure(
            "ingress: {",
            "ingress: { timeouts: { headers: 2h, body: 2h, idle: 2h },",
        )
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let mut open = Vec::new();
    for url in [&gateway.base_url, &gateway.ops_url] {
        let address = url.strip_prefix("http://").expect("its address");
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\n");
        for sent in [format!("{head}Content-Length: 100\r\n\r\n{{\"mode"), head] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(sent.as_bytes()).await.expect("it is sent");
            open.push(stream);
        }
    }
    let active = |text: &str| sum(text, "llm_gateway_active_requests") == 1;
    gateway
        .until("/metrics", active)
        .await
        .expect("it reads the body");
    gateway.signal("TERM");
    let status = gateway.wait(PLENTY).expect("nothing holds it up");
    assert_eq!(status.code(), Some(0), "{}", gateway.tail());
    let mut told = String::new();
    open[0]
        .read_to_string(&mut told)
        .await
        .expect("it is closed in order");
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.contains("x-should-retry: true"), "{told}");
}
