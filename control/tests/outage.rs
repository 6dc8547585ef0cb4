//! NATS away at the start, and lost on the way: what listeners and senders are told. A little proxy stands between, so that
//! the server itself need not be stopped. NATS is found by `RELAY_NATS_URL`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, Message, NatsControl, NatsOptions, Subscription};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets connections through to NATS while it is open; closing cuts those that stand.
struct Proxy {
    port: u16,
    open: watch::Sender<bool>,
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
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *opened.borrow() {
                    tokio::spawn(pass(client, server.clone(), opened.clone()));
                }
            }
        });
        Self { port, open, task }
    }

    fn set(&self, open: bool) {
        self.open.send_replace(open);
    }

    async fn connect(&self) -> Arc<dyn Control> {
        let options = NatsOptions {
            reconnect_max: Duration::from_millis(20),
            probe_timeout: Duration::from_millis(200),
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

async fn pass(mut client: TcpStream, server: String, mut open: watch::Receiver<bool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
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

#[tokio::test]
async fn a_url_that_is_none_is_said_at_once() {
    let refused = NatsControl::connect(NatsOptions::new("no url at all")).await;
    assert!(matches!(refused.err(), Some(ControlError::Unavailable(_))));
}
