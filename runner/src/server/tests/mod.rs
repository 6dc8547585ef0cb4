//! Clients that hold what they do not use, and those that are only slow, on real sockets.

mod http2;

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt as _;
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Nothing here depends on how fast the machine is: what must happen has this long.
const PLENTY: Duration = Duration::from_secs(20);
const NEVER: Duration = Duration::from_secs(600);
const SOON: Duration = Duration::from_millis(200);
/// How long a quiet answer says nothing.
const QUIET: Duration = Duration::from_millis(1_200);
const WHOLE: usize = 16 << 20;
/// What a slow reader takes at a time.
const PIECE: usize = WHOLE / 32;

const BOUNDS: ConnectionBounds = ConnectionBounds {
    most_connections: 8,
    headers: NEVER,
    idle: NEVER,
    unread: NEVER,
};

/// A listener that really listens.
struct Listening {
    port: u16,
    shutdown: Shutdown,
    served: JoinHandle<()>,
    /// Bodies of `/endless` that were dropped.
    dropped: mpsc::UnboundedReceiver<()>,
}

struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A body that never ends, and says when it is dropped.
fn endless(dropped: Dropped) -> Body {
    let piece = move |held: Dropped| async move {
        Some((Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])), held))
    };
    Body::from_stream(futures::stream::unfold(dropped, piece))
}

/// A body that says nothing for a while.
fn quiet() -> Body {
    let word = |word: &'static str, after| async move {
        sleep(after).await;
        Ok::<_, Infallible>(word)
    };
    let words = [("begin ", Duration::ZERO), ("end", QUIET)];
    let words = futures::stream::iter(words).map(move |(text, after)| word(text, after));
    Body::from_stream(words.buffered(1))
}

async fn listening(bounds: ConnectionBounds) -> Listening {
    let (sender, dropped) = mpsc::unbounded_channel();
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/nothing", get(|| async {}))
        .route("/whole", get(|| async { vec![b'x'; WHOLE] }))
        .route("/quiet", get(|| async { quiet() }))
        .route(
            "/endless",
            get(move || async move { endless(Dropped(sender.clone())) }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let shutdown = Shutdown::default();
    let served = serve_http(router, listener, bounds, Clock::system(), shutdown.clone());
    Listening {
        port,
        shutdown,
        served: tokio::spawn(served),
        dropped,
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = timeout(PLENTY, future).await;
    result.unwrap_or_else(|_| panic!("in time: {what}"))
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port))
            .await
            .expect("it listens")
    }

    /// A connection on which `bytes` were sent.
    async fn after(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        stream
    }

    async fn ask(&self, path: &str) -> TcpStream {
        self.after(&format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n"))
            .await
    }

    async fn ask_once(&self, path: &str) -> TcpStream {
        let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n");
        self.after(&request).await
    }

    async fn is_healthy(&self) {
        let answer = soon("/healthz answers", async {
            rest(self.ask_once("/healthz").await).await
        })
        .await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok"),
            "{answer}"
        );
    }

    /// An HTTP/2 client, and what moves its bytes.
    async fn http2(&self) -> (SendRequest<Bytes>, JoinHandle<()>) {
        let (client, connection) = h2::client::handshake(self.connect().await)
            .await
            .expect("a handshake");
        let moving = tokio::spawn(async move { drop(connection.await) });
        (client, moving)
    }
}

/// Everything that still comes, whether it ends well or not.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn answer(client: &mut SendRequest<Bytes>, path: &str) -> h2::RecvStream {
    let request = Request::get(format!("http://relay{path}"))
        .body(())
        .expect("a request");
    let mut client = client.clone().ready().await.expect("it takes requests");
    let (response, _) = client.send_request(request, true).expect("sent");
    let response = soon("an answer begins", response).await.expect("a response");
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// Reads all of an answer, a piece and a pause at a time.
async fn read(body: &mut h2::RecvStream, pause: Duration) -> Result<usize, h2::Error> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        let pieces = length / PIECE;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
        if length / PIECE > pieces {
            sleep(pause).await;
        }
    }
    Ok(length)
}

#[tokio::test]
async fn fifty_connections_that_say_nothing_or_half_of_it_do_not_keep_healthz_from_answering() {
    for said in [
        "",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: re",
    ] {
        let listening = listening(BOUNDS).await;
        let mut held = Vec::new();
        for _ in 0..50 {
            held.push(listening.after(said).await);
        }
        listening.is_healthy().await;
        drop(held);
    }
}

#[tokio::test]
async fn making_room_never_ends_a_connection_that_is_being_answered() {
    let listening = listening(BOUNDS).await;
    let (asked, mut silent) = (listening.ask_once("/quiet").await, Vec::new());
    for _ in 0..50 {
        silent.push(listening.connect().await);
    }
    listening.is_healthy().await;
    let answer = soon("a quiet answer ends", rest(asked)).await;
    assert!(answer.contains("end\r\n0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed_within_the_time_of_headers() {
    let listening = listening(ConnectionBounds {
        headers: SOON,
        ..BOUNDS
    })
    .await;
    for said in [
        "",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: re",
    ] {
        let silent = listening.after(said).await;
        let answer = soon("it is closed", rest(silent)).await;
        assert!(!answer.contains("HTTP/1.1 2"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_more_is_closed_within_its_idle_time() {
    let listening = listening(ConnectionBounds { idle: SOON, ..BOUNDS }).await;
    let text = soon("it is closed", rest(listening.ask("/healthz").await)).await;
    assert!(text.ends_with("ok"), "{text}");
    let (mut client, moving) = listening.http2().await;
    let mut body = answer(&mut client, "/healthz").await;
    assert_eq!(read(&mut body, Duration::ZERO).await.expect("read"), 2);
    soon("it is closed", moving).await.expect("it ends");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_closed_and_the_answer_dropped() {
    let mut listening = listening(ConnectionBounds {
        unread: SOON,
        ..BOUNDS
    })
    .await;
    let endless = listening.ask("/endless").await;
    soon("the body is dropped", listening.dropped.recv()).await;
    soon("it is closed", rest(endless)).await;
}

#[tokio::test]
async fn a_slow_reader_and_a_quiet_answer_are_not_cut() {
    let bounds = ConnectionBounds {
        headers: SOON,
        idle: SOON,
        unread: Duration::from_secs(2),
        ..BOUNDS
    };
    let listening = listening(bounds).await;
    let slowly = async {
        let mut stream = listening.ask_once("/whole").await;
        let (mut piece, mut length) = (Vec::new(), 0);
        loop {
            let mut most = (&mut stream).take(PIECE as u64);
            match most.read_to_end(&mut piece).await.expect("it is not cut") {
                0 => break,
                read => length += read,
            }
            piece.clear();
            sleep(Duration::from_millis(100)).await;
        }
        assert!(length > WHOLE, "{length}");
    };
    let slowly_2 = async {
        let (mut client, _moving) = listening.http2().await;
        let mut body = answer(&mut client, "/whole").await;
        let length = read(&mut body, Duration::from_millis(100)).await;
        assert_eq!(length.expect("it is not cut"), WHOLE);
    };
    let quietly = async {
        let text = rest(listening.ask_once("/quiet").await).await;
        assert!(text.contains("end\r\n0\r\n"), "{text}");
        let (mut client, _moving) = listening.http2().await;
        let mut body = answer(&mut client, "/quiet").await;
        let length = read(&mut body, Duration::ZERO).await;
        assert_eq!(length.expect("it is not cut"), "begin end".len());
    };
    let all = async { tokio::join!(slowly, slowly_2, quietly) };
    timeout(PLENTY * 6, all).await.expect("they end");
}

#[tokio::test]
async fn a_reader_of_a_few_kilobytes_at_a_time_is_seen_to_read() {
    let unread = Duration::from_secs(5);
    let mut listening = listening(ConnectionBounds { unread, ..BOUNDS }).await;
    let mut stream = listening.ask("/endless").await;
    let mut piece = vec![0; 16 << 10];
    for _ in 0..150 {
        stream.read_exact(&mut piece).await.expect("it is not cut");
        sleep(SOON / 2).await;
    }
    assert!(listening.dropped.try_recv().is_err(), "it was given up");
}

#[tokio::test]
async fn answers_without_a_body_end_like_others() {
    let listening = listening(BOUNDS).await;
    let head = "HEAD /whole HTTP/1.1\r\nHost: relay\r\n\r\n";
    let empty = "GET /nothing HTTP/1.1\r\nHost: relay\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    let answers = listening.after(&format!("{head}{empty}{last}")).await;
    let answers = soon("three answers", rest(answers)).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.ends_with("\r\n\r\nok"), "{answers}");
    let (mut client, moving) = listening.http2().await;
    assert!(answer(&mut client, "/nothing").await.is_end_stream());
    listening.shutdown.drain();
    soon("it is closed", moving).await.expect("it ends");
    soon("the drain ends", listening.served).await.expect("served");
}

#[tokio::test]
async fn a_drain_lets_answers_end_and_closes_what_is_idle_at_once() {
    let listening = listening(BOUNDS).await;
    let mut asked = listening.ask("/quiet").await;
    let idle = [listening.connect().await, listening.after("PRI * HT").await];
    let mut begun = [0; 12];
    soon("it begins", asked.read_exact(&mut begun))
        .await
        .expect("a status");
    listening.shutdown.drain();
    for idle in idle {
        assert_eq!(soon("it is closed", rest(idle)).await, "");
    }
    let answer = soon("it ends", rest(asked)).await;
    assert!(answer.contains("end\r\n0\r\n"), "{answer}");
    soon("the drain ends", listening.served).await.expect("served");
}

#[tokio::test]
async fn a_drain_waits_for_what_has_not_ended_and_a_stop_cuts_it() {
    let mut listening = listening(BOUNDS).await;
    let mut endless = listening.ask("/endless").await;
    let mut begun = [0; 12];
    soon("it begins", endless.read_exact(&mut begun))
        .await
        .expect("a status");
    listening.shutdown.drain();
    sleep(SOON).await;
    assert!(!listening.served.is_finished(), "it is still being answered");
    listening.shutdown.stop();
    soon("the drain ends", listening.served).await.expect("served");
    soon("the body is dropped", listening.dropped.recv()).await;
    assert_eq!(listening.shutdown.count_cut(), 1);
    drop(endless);
}
