//! The seam as one process sees it.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use relay_schemas::{Payload, Registry};
use tokio::time::{sleep, timeout};

use super::faults::Asking;
use super::seam::{Connection, Seam};
use super::way::Way;
use crate::api::{Control, ControlError, Delivery, Message, Subscription};
use crate::in_process::ONE;
use crate::queue::Most;

/// The seam of one life of a process. Its listeners end when it is dropped.
pub struct ProcessControl {
    seam: Arc<Seam>,
    connection: Arc<Connection>,
    schemas: Arc<Registry>,
}

impl ProcessControl {
    pub(super) fn new(seam: Arc<Seam>, connection: Arc<Connection>) -> Self {
        Self {
            seam,
            connection,
            schemas: Arc::default(),
        }
    }

    /// Reads messages of other versions too, by the schemas in `schemas`.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<Registry>) -> Self {
        self.schemas = schemas;
        self
    }

    fn listen(&self, pattern: &str, group: Option<&str>, most: Most) -> Listening {
        Listening {
            way: self.seam.listen(&self.connection, pattern, group, most),
            seam: Arc::clone(&self.seam),
            connection: Arc::clone(&self.connection),
        }
    }

    /// Whether the seam can be reached by a process that lives.
    async fn reaches(&self) -> Result<(), ControlError> {
        self.connection.life.act().await;
        self.seam.reaches(&self.connection)
    }
}

#[async_trait]
impl Control for ProcessControl {
    fn schemas(&self) -> Arc<Registry> {
        Arc::clone(&self.schemas)
    }

    async fn send(&self, subject: &str, payload: Payload) -> Result<(), ControlError> {
        self.reaches().await?;
        self.seam.options.check_size(&payload)?;
        let message = Message {
            subject: subject.to_owned(),
            payload,
            answer_to: None,
        };
        self.seam.deliver(&self.connection, &message);
        Ok(())
    }

    async fn subscribe(
        &self,
        subject: &str,
        queue_group: Option<&str>,
    ) -> Result<Box<dyn Subscription>, ControlError> {
        self.connection.life.act().await;
        Ok(Box::new(self.listen(
            subject,
            queue_group,
            self.seam.options.most(),
        )))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Payload,
        patience: Duration,
    ) -> Result<Payload, ControlError> {
        self.reaches().await?;
        self.seam.options.check_size(&payload)?;
        let asking = self.seam.of_question(&self.connection);
        let answer_to = self.seam.inbox();
        let mut answers = self.listen(&answer_to, None, ONE);
        let question = Message {
            subject: subject.to_owned(),
            payload,
            answer_to: Some(answer_to),
        };
        if asking != Asking::Unheard && self.seam.deliver(&self.connection, &question) == 0 {
            return Err(ControlError::NoResponder(subject.to_owned()));
        }
        let mut answer = pin!(async {
            if asking != Asking::Usual {
                std::future::pending::<()>().await;
            }
            loop {
                match answers.next().await {
                    Some(Delivery::Message(answer)) => return Some(answer),
                    Some(Delivery::Lost) => {}
                    None => return None,
                }
            }
        });
        let in_time = timeout(patience, answer.as_mut()).await;
        self.connection.life.act().await;
        // Whoever stood still looks for an answer before it looks at the time.
        match in_time.ok().or_else(|| answer.now_or_never()) {
            Some(Some(answer)) => Ok(answer.payload),
            Some(None) => Err(ControlError::Unavailable("the seam is closed".to_owned())),
            None => Err(ControlError::Timeout {
                subject: subject.to_owned(),
                waited_ms: patience.as_millis(),
            }),
        }
    }

    fn max_payload(&self) -> usize {
        self.seam.options.max_payload.as_usize()
    }

    async fn probe(&self) -> Result<(), ControlError> {
        self.reaches().await
    }
}

impl Drop for ProcessControl {
    fn drop(&mut self) {
        self.seam.close(&self.connection);
    }
}

struct Listening {
    seam: Arc<Seam>,
    connection: Arc<Connection>,
    way: Arc<Way>,
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Delivery<Message>> {
        loop {
            // Nothing is taken before the process may have it, so that nothing is lost where this future is dropped.
            self.connection.life.act().await;
            let now = self.seam.clock.instant();
            let due_in = self.way.arrive(now).map(|due| due - now);
            if let Poll::Ready(taken) = self.way.take() {
                return taken;
            }
            tokio::select! {
                biased;
                () = self.way.news() => {}
                () = sleep(due_in.unwrap_or_default()), if due_in.is_some() => {}
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.seam.leave(&self.connection, &self.way);
    }
}
