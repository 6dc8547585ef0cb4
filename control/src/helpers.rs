//! Typed messages over any [`Control`]: encode on the way out, decode on the way in.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use relay_schemas::{Payload, Record, Registry, encode};

use crate::api::{Control, ControlError, Delivery, Message, Subscription};

/// Most questions that one [`serve`] works on at once; the others wait in the listener's bounded queue.
const MOST_ANSWERING: usize = 64;

/// Sends `message` to whoever listens on `subject`.
pub async fn send<T: Record>(control: &dyn Control, subject: &str, message: T) -> Result<(), ControlError> {
    control.send(subject, Payload::of(Arc::new(message))).await
}

/// Listens for messages of one type; subjects may hold wildcards.
pub async fn listen<T: Record>(control: &dyn Control, subject: &str) -> Result<Listener<T>, ControlError> {
    let subscription = control.subscribe(subject, None).await?;
    Ok(Listener {
        subscription,
        schemas: control.schemas(),
        of: PhantomData,
    })
}

/// A typed listener; ends when dropped.
pub struct Listener<T> {
    subscription: Box<dyn Subscription>,
    schemas: Arc<Registry>,
    of: PhantomData<fn() -> T>,
}

impl<T: Record> Listener<T> {
    /// The next message or loss; `None` once the seam is closed. Safe to drop while waiting. What cannot be decoded is
    /// reported as [`Delivery::Lost`], for it is.
    pub async fn next(&mut self) -> Option<Delivery<T>> {
        let message = match self.subscription.next().await? {
            Delivery::Lost => return Some(Delivery::Lost),
            Delivery::Message(message) => message,
        };
        Some(match message.payload.read(&self.schemas) {
            Ok(read) => Delivery::Message(Arc::unwrap_or_clone(read)),
            Err(error) => {
                tracing::warn!(messaging.subject = message.subject, %error, "an unreadable control message is passed over");
                Delivery::Lost
            }
        })
    }
}

/// Asks and waits for one answer.
pub async fn ask<Q: Record, A: Record>(
    control: &dyn Control,
    subject: &str,
    question: &Q,
    timeout: Duration,
) -> Result<A, ControlError> {
    let answer = control.request(subject, encode(question).into(), timeout).await?;
    let read = answer.read(&control.schemas()).map(Arc::unwrap_or_clone);
    read.map_err(|error| ControlError::Unreadable {
        subject: subject.to_owned(),
        reason: error.to_string(),
    })
}

/// Answers questions until it is dropped (or the seam is closed). Up to 64 are worked on at once, so a slow
/// one does not hold the others up. A question that cannot be read gets no answer: its asker runs into its timeout.
pub async fn serve<Q, A, H, F>(
    control: Arc<dyn Control>,
    subject: &str,
    queue_group: Option<&str>,
    handler: H,
) -> Result<(), ControlError>
where
    Q: Record,
    A: Record,
    H: Fn(Q) -> F + Send + Sync,
    F: Future<Output = A> + Send,
{
    serve_some(control, subject, queue_group, |question| {
        let answer = handler(question);
        async { Some(answer.await) }
    })
    .await
}

/// Like [`serve`], for those who cannot always tell: `None` is no answer.
pub async fn serve_some<Q, A, H, F>(
    control: Arc<dyn Control>,
    subject: &str,
    queue_group: Option<&str>,
    handler: H,
) -> Result<(), ControlError>
where
    Q: Record,
    A: Record,
    H: Fn(Q) -> F + Send + Sync,
    F: Future<Output = Option<A>> + Send,
{
    let schemas = control.schemas();
    let mut questions = control.subscribe(subject, queue_group).await?;
    let mut answering = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = answering.next(), if !answering.is_empty() => {}
            event = questions.next(), if answering.len() < MOST_ANSWERING => match event {
                Some(Delivery::Message(message)) => {
                    if let Some((question, answer_to)) = read_question(&schemas, message) {
                        answering.push(answer(&*control, answer_to, handler(question)));
                    }
                }
                Some(Delivery::Lost) => tracing::debug!(messaging.subject = subject, "questions may have been lost; who asked asks again"),
                None => return Ok(()),
            },
        }
    }
}

fn read_question<Q: Record>(schemas: &Registry, message: Message) -> Option<(Q, String)> {
    let answer_to = message.answer_to?;
    match message.payload.read(schemas) {
        Ok(question) => Some((Arc::unwrap_or_clone(question), answer_to)),
        Err(error) => {
            tracing::warn!(messaging.subject = message.subject, %error, "an unreadable question gets no answer");
            None
        }
    }
}

async fn answer<A: Record>(
    control: &dyn Control,
    answer_to: String,
    answer: impl Future<Output = Option<A>>,
) {
    let Some(answer) = answer.await else { return };
    if let Err(error) = send(control, &answer_to, answer).await {
        tracing::warn!(%error, "an answer could not be sent; who asked asks again");
    }
}
