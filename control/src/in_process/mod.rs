//! The seam inside one process: the same subjects, losses and limits as NATS, without a server.

pub(crate) mod subjects;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;
use relay_schemas::{Payload, Registry};
use relay_settings::ByteSize;
use serde::Deserialize;

use self::subjects::{Member, Tree};
use crate::api::{Control, ControlError, Delivery, Message, Subscription};
use crate::queue::{Most, Queue};

/// Room for an answer.
pub(crate) const ONE: Most = Most {
    messages: 1,
    bytes: 0,
};

/// Limits of the in-process seam.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InProcessOptions {
    /// Most messages that wait for one listener; the next ones are lost, and the listener is told.
    pub capacity: usize,
    /// Most bytes of them, whatever their number.
    pub capacity_size: ByteSize,
    /// Largest payload. NATS's own default, so that what works here works there.
    pub max_payload: ByteSize,
}

impl Default for InProcessOptions {
    fn default() -> Self {
        Self {
            capacity: 65_536,
            capacity_size: ByteSize::mib(64),
            max_payload: ByteSize::mib(1),
        }
    }
}

impl InProcessOptions {
    /// The most that waits for one listener.
    pub(crate) fn most(&self) -> Most {
        Most {
            messages: self.capacity,
            bytes: self.capacity_size.as_usize(),
        }
    }

    pub(crate) fn check_size(&self, payload: &Payload) -> Result<(), ControlError> {
        let (size, limit) = (payload.len(), self.max_payload.as_usize());
        if size > limit {
            return Err(ControlError::TooLarge { size, limit });
        }
        Ok(())
    }
}

/// The seam inside one process. Closed, for all listeners, when dropped.
pub struct InProcessControl {
    options: InProcessOptions,
    switchboard: Arc<Switchboard>,
    schemas: Arc<Registry>,
}

/// Who listens to what, and hands messages to them.
#[derive(Default)]
pub(crate) struct Switchboard {
    pub(crate) tree: RwLock<Tree>,
    /// Numbers answers' subjects and takes turns in queue groups.
    counter: AtomicU64,
}

impl InProcessControl {
    /// A seam of its own.
    pub fn new(options: InProcessOptions) -> Self {
        Self {
            options,
            switchboard: Arc::default(),
            schemas: Arc::default(),
        }
    }

    /// Reads messages of other versions too, by the schemas in `schemas`.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<Registry>) -> Self {
        self.schemas = schemas;
        self
    }

    fn listen(&self, subject: &str, group: Option<&str>, most: Most) -> Listening {
        let member = Member {
            subject: subject.to_owned(),
            group: group.map(str::to_owned),
            queue: Arc::new(Queue::new(most)),
        };
        self.switchboard.tree.write().add(&member);
        Listening {
            member,
            switchboard: Arc::clone(&self.switchboard),
        }
    }
}

impl Switchboard {
    /// Hands `message` to all who listen; says to how many.
    pub(crate) fn deliver(&self, message: Message) -> usize {
        let tree = self.tree.read();
        let recipients = self.chosen(&tree, &message.subject);
        let delivered = recipients.each.len();
        if let Some((last, others)) = recipients.each.split_last() {
            for queue in others {
                queue.push(message.clone());
            }
            last.push(message);
        }
        delivered
    }

    /// The queues of all who shall have a message to `subject`.
    #[cfg(feature = "simulated")]
    pub(crate) fn recipients(&self, subject: &str) -> Vec<Arc<Queue>> {
        let tree = self.tree.read();
        self.chosen(&tree, subject).each.into_iter().cloned().collect()
    }

    fn chosen<'a>(&self, tree: &'a Tree, subject: &str) -> subjects::Recipients<'a> {
        let mut recipients = tree.recipients(subject);
        if !recipients.shared.is_empty() {
            self.choose(&mut recipients);
        }
        recipients
    }

    /// A subject for one answer.
    pub(crate) fn inbox(&self) -> String {
        format!("_INBOX.{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// One member of each group, in turn. Groups of one name are one group, whatever pattern their members listen to.
    fn choose(&self, recipients: &mut subjects::Recipients<'_>) {
        let turn = self.counter.fetch_add(1, Ordering::Relaxed) as usize;
        recipients.shared.sort_by_key(|(group, _)| *group);
        for members in recipients.shared.chunk_by(|(one, _), (other, _)| one == other) {
            recipients.each.push(members[turn % members.len()].1);
        }
    }
}

#[async_trait]
impl Control for InProcessControl {
    fn schemas(&self) -> Arc<Registry> {
        self.schemas.clone()
    }

    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError> {
        self.options.check_size(&payload)?;
        self.switchboard.deliver(Message {
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
        Ok(Box::new(self.listen(subject, queue_group, self.options.most())))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Payload,
        timeout: Duration,
    ) -> Result<Payload, ControlError> {
        self.options.check_size(&payload)?;
        let answer_to = self.switchboard.inbox();
        let mut answers = self.listen(&answer_to, None, ONE);
        let question = Message {
            subject: subject.to_owned(),
            payload,
            answer_to: Some(answer_to),
        };
        if self.switchboard.deliver(question) == 0 {
            return Err(ControlError::NoResponder(subject.to_owned()));
        }
        match tokio::time::timeout(timeout, answers.next()).await {
            Ok(Some(Delivery::Message(answer))) => Ok(answer.payload),
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
        for queue in self.switchboard.tree.read().all() {
            queue.close();
        }
    }
}

struct Listening {
    member: Member,
    switchboard: Arc<Switchboard>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Delivery<Message>> {
        self.member.queue.next().await
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.switchboard.tree.write().remove(&self.member);
    }
}
