//! Clients that ask over HTTP/2 and never open the window for the answer.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use harness::{Harness, PATIENCE, completed};
use relay_ingress::Config;
use relay_schemas::{Outcome, Request};
use relay_settings::ByteSize;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const NEVER: Duration = Duration::from_secs(600);
const PLACES: usize = 20;

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// One connection whose answers have no window.
struct Closed {
    client: SendRequest<Bytes>,
    moving: JoinHandle<()>,
}

impl Closed {
    async fn to(harness: &Harness) -> Self {
        let stream = TcpStream::connect(harness.address).await.unwrap();
        let mut closed = h2::client::Builder::new();
        closed.initial_window_size(0);
        let (client, connection) = closed.handshake(stream).await.unwrap();
        let moving = tokio::spawn(async move { drop(connection.await) });
        Self { client, moving }
    }

    /// An answer whose head is here and whose body is not; `work` is what becomes of the request.
    async fn answer(
        &self,
        harness: &Harness,
        headers: &[(&str, &str)],
        body: &'static str,
        work: impl AsyncFnOnce(Request),
    ) -> RecvStream {
        let mut request = axum::http::Request::post("http://relay/v1/chat/completions");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut client = self.client.clone().ready().await.unwrap();
        let (response, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
        sending
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .unwrap();
        work(harness.accepted().await).await;
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

fn few_places(config: &mut Config) {
    config.limits.max_in_flight_per_tenant = PLACES;
    config.timeouts.unread = NEVER;
}

/// A stream of which the client was shown something, and that has ended since.
async fn streamed(harness: &Harness, request: Request) {
    harness.frame(&request, 0, "Hello").await;
    harness.end(&request, 1, &completed(&request, "Hello")).await;
}

/// Asks until a request gets in: another one must have let go of its place.
async fn gets_in(harness: &Harness) {
    let tries = async {
        loop {
            tokio::select! {
                refused = harness.chat(&[], WHOLE) => assert_eq!(refused.status, 429),
                _ = harness.accepted() => return,
            }
        }
    };
    timeout(PATIENCE, tries).await.expect("a place is free");
}

#[tokio::test]
async fn twenty_streams_that_ended_behind_a_closed_window_hold_no_place() {
    let harness = Harness::with(few_places).await;
    let (closed, mut unread) = (Closed::to(&harness).await, Vec::new());
    for _ in 0..PLACES {
        let work = async |request| streamed(&harness, request).await;
        unread.push(closed.answer(&harness, &[], STREAM, work).await);
    }
    gets_in(&harness).await;
}

#[tokio::test]
async fn twenty_whole_answers_behind_a_closed_window_hold_no_place() {
    let harness = Harness::with(few_places).await;
    let (closed, mut unread) = (Closed::to(&harness).await, Vec::new());
    for _ in 0..PLACES {
        let work = async |request: Request| harness.complete(&request, "Hello").await;
        unread.push(closed.answer(&harness, &[], WHOLE, work).await);
    }
    gets_in(&harness).await;
}

#[tokio::test]
async fn what_is_unread_is_bounded_in_bytes_and_beyond_them_an_answer_keeps_its_place_until_it_is_given_up() {
    let harness = Harness::with(|config| {
        few_places(config);
        config.limits.max_unread_per_tenant = ByteSize::b(1);
    })
    .await;
    let (closed, mut unread) = (Closed::to(&harness).await, Vec::new());
    // The first one is what fits.
    for _ in 0..=PLACES {
        let work = async |request: Request| harness.complete(&request, "Hello").await;
        unread.push(closed.answer(&harness, &[], WHOLE, work).await);
    }
    assert_eq!(harness.chat(&[], WHOLE).await.status, 429);
    let light = [("x-tenant-id", "light")];
    let (light, ()) = tokio::join!(harness.chat(&light, WHOLE), async {
        let request = harness.accepted().await;
        harness.complete(&request, "Hello").await;
    });
    assert_eq!(light.status, 200, "{}", light.text());
    unread.pop();
    gets_in(&harness).await;
}

#[tokio::test]
async fn a_key_is_no_longer_held_by_an_answer_that_is_only_read() {
    let harness = Harness::with(few_places).await;
    harness.serve_sink().await;
    let closed = Closed::to(&harness).await;
    let key = [("idempotency-key", "k")];
    let record = async |request: Request| {
        let outcome: Outcome = completed(&request, "Hello");
        harness.record(outcome.clone());
        harness.end(&request, 0, &outcome).await;
    };
    let _unread = closed.answer(&harness, &key, WHOLE, record).await;
    let again = harness.chat(&key, WHOLE).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (200, Some("true")),
        "it joins nothing that is over"
    );
}

#[tokio::test]
async fn an_answer_that_is_never_asked_for_is_ended() {
    let harness = Harness::with(|config| config.timeouts.unread = Duration::from_millis(200)).await;
    let closed = Closed::to(&harness).await;
    let work = async |request: Request| harness.complete(&request, "Hello").await;
    let mut body = closed.answer(&harness, &[], WHOLE, work).await;
    let data = timeout(PATIENCE, body.data()).await.expect("it is ended");
    assert!(data.is_some_and(|data| data.is_err_and(|error| error.is_reset())));
}
