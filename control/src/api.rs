//! What a control seam must do. Two implementations, one contract suite (`tests/contract.rs`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use relay_schemas::{Payload, Registry};

/// Send, subscribe and ask by subject; at most once, in order from one publisher to one subscriber.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// Sends `payload` to whoever listens now. No listener is no error.
    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError>;

    /// Listens. `*` stands for one token of the subject, `>` at its end for the rest. Members of one `queue_group` share the messages.
    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError>;

    /// Asks and waits for one answer.
    async fn request(
        &self,
        subject: &str,
        payload: Payload,
        timeout: Duration,
    ) -> Result<Payload, ControlError>;

    /// Other versions' schemas, so that messages of an older or newer build are read too; by default none.
    fn schemas(&self) -> Arc<Registry> {
        Arc::default()
    }

    /// Largest payload that fits into one message, bytes.
    fn max_payload(&self) -> usize;

    /// Answers if the seam can be reached now.
    async fn probe(&self) -> Result<(), ControlError>;
}

/// A listener; ends when dropped.
#[async_trait]
pub trait Subscription: Send {
    /// The next delivery; `None` once the seam is closed.
    async fn next(&mut self) -> Option<Delivery<Message>>;
}

/// What reaches a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery<T> {
    /// A message.
    Message(T),
    /// Messages may have been lost here: the listener was too slow, or the connection was away.
    Lost,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Where it was sent.
    pub subject: String,
    /// What it says.
    pub payload: Payload,
    /// Where an answer is expected, if it is a question.
    pub answer_to: Option<String>,
}

/// Why the seam did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It cannot be reached.
    #[error("the control seam is unavailable: {0}")]
    Unavailable(String),
    /// Nobody answers questions on this subject.
    #[error("nobody answers on {0}")]
    NoResponder(String),
    /// Nobody answered in time.
    #[error("no answer on {subject} within {waited_ms} ms")]
    Timeout {
        /// The subject.
        subject: String,
        /// How long was waited.
        waited_ms: u128,
    },
    /// The payload does not fit into a message.
    #[error("a message of {size} bytes, where {limit} fit")]
    TooLarge {
        /// Bytes of the payload.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The answer was not what was asked for.
    #[error("an unreadable answer on {subject}: {reason}")]
    Unreadable {
        /// The subject.
        subject: String,
        /// What the decoder says.
        reason: String,
    },
}
