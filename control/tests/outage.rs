//! NATS away at the start, and lost on the way: what listeners and senders are told. A little proxy stands between, so that
//! the server itself need not be stopped. NATS is found by `RELAY_NATS_URL`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, Message, NatsControl, NatsOptions, Subscription};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets connections through to NATS while it is open; closing cuts those that stand.
struct Proxy {
    port: u16,
    open: watch::Sender<bool>,
    /// Whether what clients say goes on to the server once they have been greeted.
    flows: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Closed at first.
    async fn start() -> Self {
        let url =
            std::env::var("RELAY_NATS_URL").expect("RELAY_NATS_URL names a NATS server: run `make test`");
        let server = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, opened) = watch::channel(false);
        let (flows, flowing) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *opened.borrow() {
                    tokio::spawn(pass(client, server.clone(), opened.clone(), flowing.clone()));
                }
            }
        });
        Self {
            port,
            open,
            flows,
            task,
        }
    }

    fn set(&self, open: bool) {
        self.open.send_replace(open);
    }

    async fn connect(&self) -> Arc<dyn Control> {
        self.connect_with(Duration::from_secs(5)).await
    }

    async fn connect_with(&self, probe_timeout: Duration) -> Arc<dyn Control> {
        let options = NatsOptions {
            reconnect_max: Duration::from_millis(20),
            probe_timeout,
            ..NatsOptions::new(format!("nats://127.0.0.1:{}", self.port))
        };
        Arc::new(NatsControl::connect(options).await.unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    server: String,
    mut open: watch::Receiver<bool>,
    mut flows: watch::Receiver<bool>,
) {
    let server = TcpStream::connect(server).await.unwrap();
    let (mut said, mut told) = client.into_split();
    let (mut answers, mut asked) = server.into_split();
    let up = async {
        let (mut piece, mut greeted) = (vec![0; 65_536], false);
        while let Ok(read @ 1..) = said.read(&mut piece).await {
            if greeted {
                let _ = flows.wait_for(|flows| *flows).await;
            }
            greeted |= piece[..read].windows(4).any(|word| word == b"PING");
            if asked.write_all(&piece[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut answers, &mut told) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

async fn until_reached(control: &dyn Control, reached: bool) {
    let wait = async {
        while control.probe().await.is_ok() != reached {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

async fn next(listener: &mut Box<dyn Subscription>) -> Delivery<Message> {
    tokio::time::timeout(PATIENCE, listener.next())
        .await
        .unwrap()
        .unwrap()
}

fn subject(name: &str) -> String {
    format!("outage.{}.{name}", std::process::id())
}

#[tokio::test]
async fn nats_absent_at_the_start_is_waited_for() {
    let proxy = Proxy::start().await;
    let control = proxy.connect().await;
    let subject = subject("absent");
    let refused = control.send(&subject, "too early".into()).await;
    assert!(
        matches!(refused, Err(ControlError::Unavailable(_))),
        "{refused:?}"
    );
    let asked = control.request(&subject, "?".into(), PATIENCE).await;
    assert!(matches!(asked, Err(ControlError::Unavailable(_))), "{asked:?}");
    assert!(control.probe().await.is_err());
    assert!(control.max_payload() > 0, "even now");
    let mut early = control.subscribe(&subject, None).await.unwrap();

    proxy.set(true);
    assert!(
        matches!(next(&mut early).await, Delivery::Lost),
        "whatever was said before was not heard"
    );
    control.send(&subject, "now".into()).await.unwrap();
    assert!(
        matches!(next(&mut early).await, Delivery::Message(message) if message.payload == "now".as_bytes())
    );
}

#[tokio::test]
async fn a_lost_connection_is_told_to_every_listener_once_it_is_back() {
    let proxy = Proxy::start().await;
    proxy.set(true);
    let control = proxy.connect().await;
    until_reached(&*control, true).await;
    let subject = subject("lost");
    let mut listeners = Vec::new();
    for group in [None, None, Some("group")] {
        listeners.push(control.subscribe(&subject, group).await.unwrap());
    }

    proxy.set(false);
    until_reached(&*control, false).await;
    let refused = tokio::time::timeout(PATIENCE, control.send(&subject, "away".into()))
        .await
        .unwrap();
    assert!(
        matches!(refused, Err(ControlError::Unavailable(_))),
        "{refused:?}"
    );

    proxy.set(true);
    for listener in &mut listeners {
        assert!(matches!(next(listener).await, Delivery::Lost));
    }
    // Told means listening again: this is heard by all.
    control.send(&subject, "back".into()).await.unwrap();
    for listener in &mut listeners {
        assert!(
            matches!(next(listener).await, Delivery::Message(message) if message.payload == "back".as_bytes())
        );
    }
}

/// Found by reading: one question that ran into its time limit, and nobody ever learnt of the gap.
#[tokio::test]
async fn a_connection_that_is_back_and_slow_is_told_as_well() {
    let proxy = Proxy::start().await;
    proxy.set(true);
    let control = proxy.connect_with(Duration::from_millis(100)).await;
    until_reached(&*control, true).await;
    let mut listener = control.subscribe(&subject("slow"), None).await.unwrap();

    proxy.set(false);
    until_reached(&*control, false).await;
    // Whatever was told so far was of the time before.
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(200), listener.next()).await {
        assert!(matches!(told, Some(Delivery::Lost)));
    }
    proxy.flows.send_replace(false);
    proxy.set(true);
    for _ in 0..3 {
        let unanswered = async {
            while !matches!(control.probe().await, Err(ControlError::Unavailable(why)) if why.contains("did not answer"))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, unanswered).await.unwrap();
    }
    proxy.flows.send_replace(true);
    assert!(matches!(next(&mut listener).await, Delivery::Lost));
}

#[tokio::test]
async fn a_url_that_is_none_is_said_at_once() {
    let refused = NatsControl::connect(NatsOptions::new("no url at all")).await;
    assert!(matches!(refused.err(), Some(ControlError::Unavailable(_))));
}
