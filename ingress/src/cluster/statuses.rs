//! Hears what workers and schedulers say of themselves.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Control, Heard};
use relay_schemas::Record;

/// Pause before the next try to listen.
const AGAIN: Duration = Duration::from_millis(500);

/// Hands every status on `subject` to `take`. Never returns; dropped at the end.
pub async fn listen<T: Record>(control: Arc<dyn Control>, subject: String, mut take: impl FnMut(T)) {
    loop {
        match relay_control::listen::<T>(&*control, &subject).await {
            Ok(mut listener) => {
                while let Some(heard) = listener.next().await {
                    // Statuses are absolute: a lost one costs freshness only.
                    if let Heard::Message(status) = heard {
                        take(status);
                    }
                }
            }
            Err(error) => tracing::debug!(messaging.subject = subject, %error, "cannot listen; trying again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
