//! The seam inside one process: the same subjects, losses and limits as NATS, without a server.

mod subjects;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use relay_schemas::Registry;
use relay_settings::ByteSize;
use serde::Deserialize;

use self::subjects::{Place, Tree};
use crate::queue::Queue;
use crate::{Control, ControlError, Event, Message, Subscription};

/// Limits of the in-process seam.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InProcessOptions {
    /// Most messages that wait for one listener; the next ones are lost, and the listener is told.
    pub capacity: usize,
    /// Largest payload. NATS's own default, so that what works here works there.
    pub max_payload: ByteSize,
}

impl Default for InProcessOptions {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            max_payload: ByteSize::mib(1),
        }
    }
}

/// The seam inside one process. Closed, for all listeners, when dropped.
pub struct InProcessControl {
    options: InProcessOptions,
    shared: Arc<Shared>,
    schemas: Arc<Registry>,
}

#[derive(Default)]
struct Shared {
    tree: RwLock<Tree>,
    /// Numbers answers' subjects and takes turns in queue groups.
    counter: AtomicU64,
}

impl InProcessControl {
    /// A seam of its own.
    pub fn new(options: InProcessOptions) -> Self {
        Self {
            options,
            shared: Arc::default(),
            schemas: Arc::default(),
        }
    }

    /// Reads messages of other versions too, by the schemas in `schemas`.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<Registry>) -> Self {
        self.schemas = schemas;
        self
    }

    fn listen(&self, subject: &str, group: Option<&str>, capacity: usize) -> Listening {
        let place = Place {
            subject: subject.to_owned(),
            group: group.map(str::to_owned),
            queue: Arc::new(Queue::new(capacity)),
        };
        self.shared.tree.write().add(&place);
        Listening {
            place,
            shared: Arc::clone(&self.shared),
        }
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), ControlError> {
        let (size, limit) = (payload.len(), self.options.max_payload.as_usize());
        if size > limit {
            return Err(ControlError::TooLarge { size, limit });
        }
        Ok(())
    }
}

impl Shared {
    /// Hands `message` to all who listen; says to how many.
    fn deliver(&self, message: Message) -> usize {
        let tree = self.tree.read();
        let mut hearers = tree.hearers(&message.subject);
        if !hearers.shared.is_empty() {
            self.choose(&mut hearers);
        }
        let delivered = hearers.each.len();
        if let Some((last, others)) = hearers.each.split_last() {
            for queue in others {
                queue.push(message.clone());
            }
            last.push(message);
        }
        delivered
    }

    /// One member of each group, in turn. Groups of one name are one group, whatever pattern their members listen to.
    fn choose(&self, hearers: &mut subjects::Hearers<'_>) {
        let turn = self.counter.fetch_add(1, Ordering::Relaxed) as usize;
        hearers.shared.sort_by_key(|(group, _)| *group);
        for members in hearers.shared.chunk_by(|(one, _), (other, _)| one == other) {
            hearers.each.push(members[turn % members.len()].1);
        }
    }
}

#[async_trait]
impl Control for InProcessControl {
    fn schemas(&self) -> Arc<Registry> {
        self.schemas.clone()
    }

    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), ControlError> {
        self.check_size(&payload)?;
        self.shared.deliver(Message {
            subject: subject.to_owned(),
            payload,
            answer_to: None,
        });
        Ok(())
    }

    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError> {
        Ok(Box::new(self.listen(subject, queue_group, self.options.capacity)))
    }

    async fn request(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, ControlError> {
        self.check_size(&payload)?;
        let number = self.shared.counter.fetch_add(1, Ordering::Relaxed);
        let answer_to = format!("_INBOX.{number}");
        let mut answers = self.listen(&answer_to, None, 1);
        let question = Message {
            subject: subject.to_owned(),
            payload,
            answer_to: Some(answer_to),
        };
        if self.shared.deliver(question) == 0 {
            return Err(ControlError::NoResponder(subject.to_owned()));
        }
        match tokio::time::timeout(timeout, answers.next()).await {
            Ok(Some(Event::Message(answer))) => Ok(answer.payload),
            Ok(_) => Err(ControlError::Unavailable("the seam is closed".to_owned())),
            Err(_) => Err(ControlError::Timeout {
                subject: subject.to_owned(),
                waited_ms: timeout.as_millis(),
            }),
        }
    }

    fn max_payload(&self) -> usize {
        self.options.max_payload.as_usize()
    }

    async fn probe(&self) -> Result<(), ControlError> {
        Ok(())
    }
}

impl Drop for InProcessControl {
    fn drop(&mut self) {
        for queue in self.shared.tree.read().all() {
            queue.close();
        }
    }
}

struct Listening {
    place: Place,
    shared: Arc<Shared>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Event> {
        self.place.queue.next().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.tree.write().remove(&self.place);
    }
}
