//! An ingress that no socket leads to: its router is asked, as a simulation asks it.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, Response};
use harness::{completed, eventually, identity, ms, runtime, worker};
use http_body_util::BodyExt as _;
use relay_bus::testing::FaultyBus;
use relay_bus::{Headers, Outgoing, header, topics};
use relay_control::{Control, Delivery, InProcessControl, InProcessOptions, listen, send, subjects};
use relay_ingress::{Assembled, Config, Error, assemble};
use relay_lifecycle::final_of;
use relay_runner::Runtime;
use relay_schemas::{Cancel, Final, Frame, Request, TokenCount, decode, encode, samples};
use tower::ServiceExt as _;

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// Runs a test where there are no sockets: whatever opens one panics.
fn without_sockets(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap().block_on(test);
}

/// An ingress and the rest of the world, in this process.
struct World {
    router: Router,
    bus: Arc<FaultyBus>,
    control: Arc<dyn Control>,
    runtime: Runtime,
    running: tokio::task::JoinHandle<Result<(), Error>>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = [topics::REQUESTS, topics::OUTCOMES];
        let bus = Arc::new(FaultyBus::with_topics(folder.path(), &log));
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let runtime = runtime(bus.clone());
        let mut config = Config::default();
        config.batch.enabled = false;
        config.cluster.probe_every = ms(20);
        config.answers.cancel_every = ms(20);
        let Assembled { router, tasks, .. } = assemble(&config, &runtime, &identity(), &control).unwrap();
        let shutdown = runtime.shutdown.clone();
        let running = tokio::spawn(tasks.beside(async move { shutdown.draining().await }));
        let world = Self {
            router,
            bus,
            control,
            runtime,
            running,
            _folder: folder,
        };
        eventually(async || {
            let asked = HttpRequest::get("/readyz").body(Body::empty()).unwrap();
            let answered = world.router.clone().oneshot(asked).await.unwrap();
            answered.status().is_success().then_some(())
        })
        .await;
        world
    }

    /// A client that asks.
    async fn chat(&self, body: &'static str) -> Response<Body> {
        let asked = HttpRequest::post("/v1/chat/completions")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        self.router.clone().oneshot(asked).await.unwrap()
    }

    /// What the log holds of it.
    async fn accepted(&self) -> Request {
        let record = eventually(async || {
            let mut published = self.bus.published().into_iter();
            published.find(|record| record.topic == topics::REQUESTS)
        });
        decode(record.await.value.as_deref().unwrap()).unwrap()
    }

    async fn frame(&self, request: &Request, text: &str, end: Option<Final>) {
        let frame = Frame {
            request_id: request.request_id.clone(),
            run: worker(1),
            seq: 0,
            deltas: samples::deltas(text),
            embeddings: Vec::new(),
            tokens: TokenCount(1),
            end,
        };
        let reply_to = request.reply_to.as_deref().unwrap();
        send(&*self.control, reply_to, frame).await.unwrap();
    }
}

#[test]
fn a_router_without_a_socket_accepts_durably_and_answers() {
    without_sockets(async {
        let world = World::new().await;
        let (response, request) = tokio::join!(world.chat(WHOLE), async {
            let request = world.accepted().await;
            let outcome = completed(&request, "Hello");
            let mut headers = Headers::default();
            headers.set(header::REQUEST_ID, request.request_id.as_str().to_owned());
            let record = Outgoing::keyed(topics::OUTCOMES, "any", headers, encode(&outcome)).sealed();
            world.bus.log.publish(vec![record], Vec::new()).await.unwrap();
            world.frame(&request, "Hello", Some(final_of(&outcome))).await;
            request
        });
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-request-id"], request.request_id.as_str());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["choices"][0]["message"]["content"], "Hello");

        world.runtime.shutdown.drain();
        world.running.await.unwrap().unwrap();
    });
}

#[test]
fn a_body_that_is_dropped_is_a_client_that_left() {
    without_sockets(async {
        let world = World::new().await;
        let mut cancels = listen::<Cancel>(&*world.control, subjects::CANCEL).await.unwrap();
        let (response, request) = tokio::join!(world.chat(STREAM), async {
            let request = world.accepted().await;
            world.frame(&request, "Hel", None).await;
            request
        });
        let mut body = response.into_body();
        let mut read = String::new();
        while !read.contains("Hel") {
            let frame = body.frame().await.unwrap().unwrap();
            read.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        drop(body);
        let Some(Delivery::Message(cancel)) = cancels.next().await else {
            panic!("a cancel was expected");
        };
        assert_eq!(cancel.request_id, request.request_id);
    });
}
