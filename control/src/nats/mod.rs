//! The seam over NATS, for services in processes of their own.
//!
//! Each subscription has a task that takes messages off the client at once and puts them into the same bounded queue
//! that the in-process seam uses: a slow listener then loses the newest and is told where, on both. Subscriptions are
//! confirmed by the server, and after each reconnect every listener is told once they are in force again.

mod inbox;
mod options;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::Mutex;
use relay_schemas::Registry;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::inbox::Inbox;
pub use self::options::NatsOptions;
use crate::queue::Queue;
use crate::{Control, ControlError, Event, Message, Subscription};

/// A subject nobody listens to: that the server says so shows that it is there and has read all that went before.
const NOBODY: &str = "relay.ask.nobody";

/// The seam over NATS.
pub struct NatsControl {
    shared: Arc<Shared>,
    answers: JoinHandle<()>,
    schemas: Arc<Registry>,
}

struct Shared {
    client: Client,
    options: NatsOptions,
    inbox: Arc<Inbox>,
    inbox_prefix: String,
    listeners: Mutex<Vec<Weak<Queue>>>,
}

impl NatsControl {
    /// Starts to connect and returns at once; tries go on for ever, in the background, also after a lost connection.
    ///
    /// # Errors
    /// [`ControlError::Unavailable`] if the options themselves cannot be used: a bad URL, an unreadable file.
    pub async fn connect(options: NatsOptions) -> Result<Self, ControlError> {
        let ours: Arc<OnceLock<Weak<Shared>>> = Arc::default();
        let told = Arc::clone(&ours);
        let urls: Vec<&str> = options.url.expose().split(',').map(str::trim).collect();
        let client = connect_options(&options)
            .await?
            .event_callback(move |event| {
                let shared = told.get().and_then(Weak::upgrade);
                async move { on_event(&event, shared) }
            })
            .connect(&urls[..])
            .await
            .map_err(unavailable)?;
        let inbox_prefix = client.new_inbox();
        let mut answers = client
            .subscribe(format!("{inbox_prefix}.*"))
            .await
            .map_err(unavailable)?;
        let shared = Arc::new(Shared {
            client,
            options,
            inbox: Arc::default(),
            inbox_prefix,
            listeners: Mutex::default(),
        });
        // Nobody else sets it. A connection that stood before this had no listeners to tell.
        let _ = ours.set(Arc::downgrade(&shared));
        let inbox = Arc::clone(&shared.inbox);
        let answers = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                inbox.arrived(answer);
            }
        });
        Ok(Self {
            shared,
            answers,
            schemas: Arc::default(),
        })
    }

    /// Reads messages of other versions too, by the schemas in `schemas`.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<Registry>) -> Self {
        self.schemas = schemas;
        self
    }
}

async fn connect_options(options: &NatsOptions) -> Result<ConnectOptions, ControlError> {
    let longest = options.reconnect_max;
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempt| pause(attempt, longest))
        .ping_interval(options.ping_interval)
        .connection_timeout(options.connection_timeout)
        .client_capacity(options.send_capacity)
        .require_tls(options.tls_required);
    if options.tls_first {
        connect = connect.tls_first();
    }
    if let Some(file) = &options.credentials_file {
        connect = connect.credentials_file(file).await.map_err(|error| {
            ControlError::Unavailable(format!("credentials file {}: {error}", file.display()))
        })?;
    }
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        connect = connect.user_and_password(user.clone(), password.expose().to_owned());
    }
    if let Some(token) = &options.token {
        connect = connect.token(token.expose().to_owned());
    }
    if let Some(file) = &options.root_certificates {
        connect = connect.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&options.client_certificate, &options.client_key) {
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(connect)
}

/// No wait before the first try, then 20 ms, doubling.
fn pause(attempt: usize, longest: Duration) -> Duration {
    let doublings = u32::try_from(attempt)
        .unwrap_or(u32::MAX)
        .saturating_sub(2)
        .min(16);
    let pause_ms = if attempt <= 1 { 0 } else { 20 << doublings };
    Duration::from_millis(pause_ms).min(longest)
}

fn on_event(event: &async_nats::Event, shared: Option<Arc<Shared>>) {
    use async_nats::Event as E;
    match event {
        E::Connected => {
            let Some(shared) = shared else { return };
            tokio::spawn(async move {
                // Subscriptions are sent again right after this event: an answer to what is asked now means that they are in force.
                if shared.round_trip().await.is_ok() {
                    shared.lose();
                }
            });
        }
        E::SlowConsumer(_) => {
            tracing::warn!("the NATS client lost messages of a slow listener");
            if let Some(shared) = shared {
                shared.lose();
            }
        }
        E::Disconnected | E::LameDuckMode => tracing::warn!(%event, "NATS"),
        E::ServerError(_) | E::ClientError(_) | E::Closed | E::Draining => tracing::debug!(%event, "NATS"),
    }
}

impl Shared {
    /// Tells every listener that something may be missing.
    fn lose(&self) {
        self.listeners.lock().retain(|listener| {
            let listener = listener.upgrade();
            listener.inspect(|queue| queue.lose()).is_some()
        });
    }

    fn check_connected(&self) -> Result<(), ControlError> {
        match self.client.connection_state() {
            State::Connected => Ok(()),
            State::Pending => Err(ControlError::Unavailable("NATS was not reached yet".to_owned())),
            State::Disconnected => Err(ControlError::Unavailable(
                "the connection to NATS is lost".to_owned(),
            )),
        }
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), ControlError> {
        let (size, limit) = (payload.len(), self.client.max_payload());
        if size > limit {
            return Err(ControlError::TooLarge { size, limit });
        }
        Ok(())
    }

    /// Hands a message to the client, which sends and flushes at once.
    async fn send(
        &self,
        subject: &str,
        answer_to: Option<String>,
        payload: Bytes,
    ) -> Result<(), ControlError> {
        self.check_size(&payload)?;
        self.check_connected()?;
        let room = self.options.publish_timeout;
        let subject = subject.to_owned();
        let sent = match answer_to {
            None => timeout(room, self.client.publish(subject, payload)).await,
            Some(answer_to) => {
                timeout(room, self.client.publish_with_reply(subject, answer_to, payload)).await
            }
        };
        match sent {
            Ok(sent) => sent.map_err(unavailable),
            Err(_) => Err(ControlError::Unavailable(
                "NATS takes messages too slowly".to_owned(),
            )),
        }
    }

    async fn ask(&self, subject: &str, payload: Bytes, wait: Duration) -> Result<Bytes, ControlError> {
        let mut awaited = self.inbox.expect();
        let answer_to = format!("{}.{}", self.inbox_prefix, awaited.number);
        let asking = async {
            self.send(subject, Some(answer_to), payload).await?;
            let answer = (&mut awaited.answer).await;
            answer.map_err(|_| ControlError::Unavailable("the connection to NATS is closed".to_owned()))
        };
        match timeout(wait, asking).await {
            Ok(Ok(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => {
                Err(ControlError::NoResponder(subject.to_owned()))
            }
            Ok(answer) => answer.map(|answer| answer.payload),
            Err(_) => Err(ControlError::Timeout {
                subject: subject.to_owned(),
                waited_ms: wait.as_millis(),
            }),
        }
    }

    /// Completes once the server has read everything that we sent before.
    async fn round_trip(&self) -> Result<(), ControlError> {
        let wait = self.options.probe_timeout;
        match self.ask(NOBODY, Bytes::new(), wait).await {
            Err(ControlError::NoResponder(_)) | Ok(_) => Ok(()),
            Err(ControlError::Timeout { waited_ms, .. }) => Err(ControlError::Unavailable(format!(
                "NATS did not answer within {waited_ms} ms"
            ))),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Control for NatsControl {
    fn schemas(&self) -> Arc<Registry> {
        self.schemas.clone()
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), ControlError> {
        self.shared.send(subject, None, payload).await
    }

    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError> {
        let client = &self.shared.client;
        let subject = subject.to_owned();
        let subscriber = match queue_group {
            None => client.subscribe(subject).await,
            Some(group) => client.queue_subscribe(subject, group.to_owned()).await,
        };
        let queue = Arc::new(Queue::new(self.shared.options.capacity));
        self.shared.listeners.lock().push(Arc::downgrade(&queue));
        let listening = Listening {
            task: tokio::spawn(forward(subscriber.map_err(unavailable)?, Arc::clone(&queue))),
            queue,
        };
        // Away, the server learns of it when it is back, and the listener is told then.
        if let Err(error) = self.shared.round_trip().await {
            tracing::debug!(%error, "a subscription waits for NATS");
        }
        Ok(Box::new(listening))
    }

    async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, ControlError> {
        self.shared.ask(subject, payload, timeout).await
    }

    fn max_payload(&self) -> usize {
        self.shared.client.max_payload()
    }

    async fn probe(&self) -> Result<(), ControlError> {
        self.shared.round_trip().await
    }
}

impl Drop for NatsControl {
    fn drop(&mut self) {
        self.answers.abort();
        for listener in self.shared.listeners.lock().drain(..) {
            if let Some(queue) = listener.upgrade() {
                queue.close();
            }
        }
    }
}

/// Takes messages off the client as they come, so that none waits behind a slow listener.
async fn forward(mut subscriber: Subscriber, queue: Arc<Queue>) {
    while let Some(message) = subscriber.next().await {
        queue.push(Message {
            subject: message.subject.into_string(),
            payload: message.payload,
            answer_to: message.reply.map(async_nats::Subject::into_string),
        });
    }
    queue.close();
}

struct Listening {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Event> {
        self.queue.next().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Drops the subscriber, which unsubscribes.
        self.task.abort();
    }
}

fn unavailable(error: impl std::fmt::Display) -> ControlError {
    ControlError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_to_connect_slow_down_and_never_stop() {
        let pauses =
            [1, 2, 3, 4, 8, 9, 1_000_000].map(|attempt| pause(attempt, Duration::from_secs(1)).as_millis());
        assert_eq!(pauses, [0, 20, 40, 80, 1_000, 1_000, 1_000]);
    }
}
