//! Listens on the control seam for ever: a seam that is away is waited for, and a subscription that ended is made anew.
//!
//! What was said meanwhile is lost, as the seam's contract has it: everything on it is repeated, asked for again, or absolute.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, listen, serve_some};
use relay_schemas::Record;

use crate::backoff::Backoff;
use crate::chance::Chance;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// Hands every message on `subject` to `take`; `chance` spreads the waits. Never returns.
pub async fn listen_forever<T: Record>(
    control: Arc<dyn Control>,
    subject: String,
    chance: Chance,
    take: impl Fn(T),
) {
    let mut backoff = Backoff::new(FIRST, LONGEST, &chance);
    loop {
        match listen::<T>(&*control, &subject).await {
            Ok(mut listener) => {
                backoff.reset();
                while let Some(heard) = listener.next().await {
                    if let Delivery::Message(message) = heard {
                        take(message);
                    }
                }
            }
            Err(error) => say(&subject, &error),
        }
        backoff.wait().await;
    }
}

/// Answers every question on `subject`; `None` is no answer. Never returns. Members of a `queue_group` share the questions;
/// `chance` spreads the waits.
pub async fn serve_forever<Q, A, H, F>(
    control: Arc<dyn Control>,
    subject: String,
    queue_group: Option<&str>,
    chance: Chance,
    handler: H,
) where
    Q: Record,
    A: Record,
    H: Fn(Q) -> F + Send + Sync,
    F: Future<Output = Option<A>> + Send,
{
    let mut backoff = Backoff::new(FIRST, LONGEST, &chance);
    loop {
        match serve_some(control.clone(), &subject, queue_group, &handler).await {
            Ok(()) => backoff.reset(),
            Err(error) => say(&subject, &error),
        }
        backoff.wait().await;
    }
}

fn say(subject: &str, error: &ControlError) {
    tracing::debug!(messaging.subject = subject, %error, "the control seam is not listened to yet");
}
