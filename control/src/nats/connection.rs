//! One connection to NATS: what is sent and asked over it, and who listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, StatusCode, Subscriber};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::inbox::Inbox;
use super::options::NatsOptions;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::api::ControlError;
use crate::queue::{Most, Queue};

/// A subject without a listener: that the server says so shows that it is there and has read all that went before.
const NOBODY: &str = "relay.ask.nobody";

pub(super) struct Connection {
    client: Client,
    options: NatsOptions,
    inbox: Arc<Inbox>,
    inbox_prefix: String,
    outbox: Mutex<Outbox>,
    listeners: Mutex<Vec<Weak<Queue>>>,
    /// How often it was made or lost.
    changes: AtomicU64,
    refusal: Refusal,
}

impl Connection {
    pub(super) fn new(client: Client, options: NatsOptions, refusal: Refusal) -> Self {
        Self {
            inbox_prefix: client.new_inbox(),
            client,
            options,
            inbox: Arc::default(),
            outbox: Mutex::default(),
            listeners: Mutex::default(),
            changes: AtomicU64::default(),
            refusal,
        }
    }

    /// Where answers arrive.
    pub(super) async fn subscribe_answers(&self) -> Result<Subscriber, ControlError> {
        let subject = format!("{}.*", self.inbox_prefix);
        self.client.subscribe(subject).await.map_err(unavailable)
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// A subscription, and the queue of its listener, which is told of losses from now on.
    pub(super) async fn listen(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<(Subscriber, Arc<Queue>), ControlError> {
        let subject = subject.to_owned();
        let subscriber = match queue_group {
            None => self.client.subscribe(subject).await,
            Some(group) => self.client.queue_subscribe(subject, group.to_owned()).await,
        };
        let queue = Arc::new(Queue::new(Most {
            messages: self.options.capacity,
            bytes: self.options.capacity_size.as_usize(),
        }));
        self.listeners.lock().push(Arc::downgrade(&queue));
        Ok((subscriber.map_err(unavailable)?, queue))
    }

    pub(super) fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        for listener in self.listeners.lock().drain(..) {
            if let Some(queue) = listener.upgrade() {
                queue.close();
            }
        }
    }

    /// Tells every listener that something may be missing.
    pub(super) fn lose(&self) {
        self.listeners.lock().retain(|listener| {
            let listener = listener.upgrade();
            listener.inspect(|queue| queue.lose()).is_some()
        });
    }

    /// It was made or lost; the number of this change.
    pub(super) fn changed(&self) -> u64 {
        self.changes.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether nothing has changed since.
    pub(super) fn is_latest(&self, change: u64) -> bool {
        self.changes.load(Ordering::SeqCst) == change
    }

    fn check_connected(&self) -> Result<(), ControlError> {
        let away = match self.client.connection_state() {
            State::Connected => return Ok(()),
            State::Pending => "NATS was not reached yet",
            State::Disconnected => "the connection to NATS is lost",
        };
        Err(ControlError::Unavailable(self.refusal.explain(away)))
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), ControlError> {
        let (size, limit) = (payload.len(), self.client.max_payload());
        if size > limit {
            return Err(ControlError::TooLarge { size, limit });
        }
        Ok(())
    }

    fn check_room(&self, size: usize) -> Result<(), ControlError> {
        let taken = self.client.statistics().out_messages.load(Ordering::Relaxed);
        let waiting = self.outbox.lock().waiting(taken);
        if waiting == 0 || waiting + size <= self.options.send_capacity_size.as_usize() {
            return Ok(());
        }
        Err(ControlError::Unavailable(format!(
            "NATS takes messages too slowly: {waiting} bytes wait to be sent"
        )))
    }

    /// Hands a message to the client, which sends and flushes at once.
    pub(super) async fn send(
        &self,
        subject: &str,
        answer_to: Option<String>,
        payload: Bytes,
    ) -> Result<(), ControlError> {
        self.check_size(&payload)?;
        self.check_connected()?;
        let size = payload.len();
        self.check_room(size)?;
        let room = self.options.publish_timeout;
        let subject = subject.to_owned();
        let sent = match answer_to {
            None => timeout(room, self.client.publish(subject, payload)).await,
            Some(answer_to) => {
                timeout(room, self.client.publish_with_reply(subject, answer_to, payload)).await
            }
        };
        match sent {
            Ok(Ok(())) => {
                self.outbox.lock().push(size);
                Ok(())
            }
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(ControlError::Unavailable(
                "NATS takes messages too slowly".to_owned(),
            )),
        }
    }

    pub(super) async fn ask(
        &self,
        subject: &str,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Bytes, ControlError> {
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
    pub(super) async fn round_trip(&self) -> Result<(), ControlError> {
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

pub(super) fn unavailable(error: impl std::fmt::Display) -> ControlError {
    ControlError::Unavailable(error.to_string())
}
