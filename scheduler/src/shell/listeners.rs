//! Listens on the control seam for ever. What is lost comes again: statuses are absolute, cancels are repeated.

use std::sync::Arc;

use relay_control::{Heard, listen, subjects};
use relay_schemas::Record;
use tokio_util::task::AbortOnDropHandle;

use super::context::{Context, Signal};
use super::retry::Wait;

/// The listeners; they end when dropped.
pub(super) type Listeners = [AbortOnDropHandle<()>; 2];

/// Starts them.
pub(super) fn start(context: &Arc<Context>) -> Listeners {
    let statuses = subjects::worker_status(&context.pool);
    let cancels = subjects::CANCEL.to_owned();
    [
        AbortOnDropHandle::new(tokio::spawn(hear(context.clone(), statuses, Signal::Status))),
        AbortOnDropHandle::new(tokio::spawn(hear(context.clone(), cancels, Signal::Cancel))),
    ]
}

async fn hear<T: Record>(context: Arc<Context>, subject: String, signal: fn(T) -> Signal) {
    let mut wait = Wait::new(&context.config);
    loop {
        match listen::<T>(&*context.control, &subject).await {
            Ok(mut listener) => {
                wait.reset();
                while let Some(heard) = listener.next().await {
                    if let Heard::Message(message) = heard {
                        context.signal(signal(message)).await;
                    }
                }
            }
            Err(error) => tracing::debug!(subject, %error, "the control seam cannot be listened to yet"),
        }
        wait.once().await;
    }
}
