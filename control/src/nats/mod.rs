//! The seam over NATS, for services in processes of their own.
//!
//! Each subscription has a task that takes messages off the client at once and puts them into the same bounded queue
//! that the in-process seam uses: a slow listener then loses the newest and is told where, on both. Subscriptions are
//! confirmed by the server, and after each reconnect every listener is told once they are in force again.

mod connection;
mod inbox;
mod options;
mod outbox;
mod refusal;

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_nats::Subscriber;
use async_trait::async_trait;
use futures::StreamExt;
use relay_schemas::{Payload, Registry};
use tokio::task::JoinHandle;

use self::connection::{Connection, unavailable};
pub use self::options::NatsOptions;
use self::refusal::Refusal;
use crate::api::{Control, ControlError, Delivery, Message, Subscription};
use crate::queue::Queue;

/// Pause between two tries to reach a server that was reached a moment ago.
const PAUSE: Duration = Duration::from_millis(20);

/// The seam over NATS.
pub struct NatsControl {
    connection: Arc<Connection>,
    answers: JoinHandle<()>,
    schemas: Arc<Registry>,
}

impl NatsControl {
    /// Starts to connect and returns at once; tries go on for ever, in the background, also after a lost connection.
    ///
    /// # Errors
    /// [`ControlError::Unavailable`] if the options themselves cannot be used: a bad URL, an unreadable file.
    pub async fn connect(options: NatsOptions) -> Result<Self, ControlError> {
        let ours: Arc<OnceLock<Weak<Connection>>> = Arc::default();
        let latest = Arc::clone(&ours);
        let refusal = Refusal::default();
        let seen = refusal.clone();
        let urls: Vec<&str> = options.url.expose().split(',').map(str::trim).collect();
        let client = options
            .connect_options()
            .await?
            .event_callback(move |event| {
                let connection = latest.get().and_then(Weak::upgrade);
                async move { on_event(&event, connection) }
            })
            // Of why a try failed the client tells nobody but this one, whom it asks before the next try where to go.
            .reconnect_to_server_callback(move |servers, _| {
                seen.remember(servers.into_iter().find_map(|server| server.last_error));
                std::future::ready(None)
            })
            .connect(&urls[..])
            .await
            .map_err(unavailable)?;
        let connection = Arc::new(Connection::new(client, options, refusal));
        let mut answers = connection.subscribe_answers().await?;
        // Nothing else sets it. A connection that stood before this had no listeners to tell.
        let _ = ours.set(Arc::downgrade(&connection));
        let inbox = connection.inbox();
        let answers = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                inbox.arrived(answer);
            }
        });
        Ok(Self {
            connection,
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

fn on_event(event: &async_nats::Event, connection: Option<Arc<Connection>>) {
    use async_nats::Event as E;
    match event {
        E::Connected => {
            let Some(connection) = connection else { return };
            let change = connection.changed();
            tokio::spawn(tell_once_in_force(Arc::downgrade(&connection), change));
        }
        E::SlowConsumer(_) => {
            tracing::warn!("the NATS client lost messages of a slow listener");
            if let Some(connection) = connection {
                connection.lose();
            }
        }
        E::Disconnected => {
            if let Some(connection) = connection {
                connection.changed();
            }
            tracing::warn!(%event, "NATS");
        }
        E::LameDuckMode => tracing::warn!(%event, "NATS"),
        E::ServerError(_) | E::ClientError(_) | E::Closed | E::Draining => tracing::debug!(%event, "NATS"),
    }
}

/// Tells every listener of the gap. Subscriptions are sent again right after a connection is made: an answer to what is asked
/// then means that they are in force. A server that is slow to answer is asked again until the connection is lost: the listeners
/// would else never learn that they missed something.
async fn tell_once_in_force(connection: Weak<Connection>, change: u64) {
    while let Some(connection) = connection.upgrade().filter(|there| there.is_latest(change)) {
        if connection.round_trip().await.is_ok() {
            return connection.lose();
        }
        drop(connection);
        // It may also have failed at once: the client says that it is connected only after it has told us.
        tokio::time::sleep(PAUSE).await;
    }
}

#[async_trait]
impl Control for NatsControl {
    fn schemas(&self) -> Arc<Registry> {
        self.schemas.clone()
    }

    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError> {
        self.connection.send(subject, None, payload.bytes().clone()).await
    }

    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError> {
        let (subscriber, queue) = self.connection.listen(subject, queue_group).await?;
        let listening = Listening {
            task: tokio::spawn(forward(subscriber, Arc::clone(&queue))),
            queue,
        };
        // Away, the server learns of it when it is back, and the listener is told then.
        if let Err(error) = self.connection.round_trip().await {
            tracing::debug!(%error, "a subscription waits for NATS");
        }
        Ok(Box::new(listening))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Payload,
        timeout: Duration,
    ) -> Result<Payload, ControlError> {
        let answer = self
            .connection
            .ask(subject, payload.bytes().clone(), timeout)
            .await;
        answer.map(Payload::from)
    }

    fn max_payload(&self) -> usize {
        self.connection.max_payload()
    }

    async fn probe(&self) -> Result<(), ControlError> {
        self.connection.round_trip().await
    }
}

impl Drop for NatsControl {
    fn drop(&mut self) {
        self.answers.abort();
        self.connection.close();
    }
}

/// Takes messages off the client as they come, so that none waits behind a slow listener.
async fn forward(mut subscriber: Subscriber, queue: Arc<Queue>) {
    while let Some(message) = subscriber.next().await {
        queue.push(Message {
            subject: message.subject.into_string(),
            payload: message.payload.into(),
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
    async fn next(&mut self) -> Option<Delivery<Message>> {
        self.queue.next().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Drops the subscriber, which unsubscribes.
        self.task.abort();
    }
}
