//! What a worker hears on the control seam: cancels, and questions for frames that somebody missed.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Heard, listen, serve, subjects};
use relay_schemas::{Cancel, ReplayAnswer, ReplayQuery, TimestampMs};

use crate::worker::Worker;

/// Between two attempts to reach the seam.
const AGAIN: Duration = Duration::from_millis(250);

/// Takes cancels until it is dropped; a seam that is away is waited for.
pub async fn cancels(worker: Arc<Worker>) {
    loop {
        match listen::<Cancel>(&*worker.control, subjects::CANCEL).await {
            Ok(mut listener) => {
                // A lost cancel is repeated by its sender until the end is seen.
                while let Some(heard) = listener.next().await {
                    if let Heard::Message(cancel) = heard {
                        worker.cancel(cancel.request_id, TimestampMs::now());
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cancels are not heard yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Answers questions for frames until it is dropped.
pub async fn replays(worker: Arc<Worker>) {
    let subject = subjects::replay(&worker.identity.instance, worker.identity.epoch);
    // An answer must fit into one message; half of it leaves room for whatever a seam adds.
    let most_bytes = worker.control.max_payload() / 2;
    loop {
        let asked = worker.clone();
        let answer = move |query: ReplayQuery| {
            let worker = asked.clone();
            async move {
                let ours = worker.identity.run(query.run.attempt) == query.run;
                let replays = worker.replays.lock();
                let frames = if ours {
                    replays.from(&query.request_id, query.run.attempt, query.from_seq, most_bytes)
                } else {
                    Vec::new()
                };
                ReplayAnswer { frames }
            }
        };
        if let Err(error) = serve(worker.control.clone(), &subject, None, answer).await {
            tracing::debug!(%error, "questions for frames cannot be heard yet");
        }
        tokio::time::sleep(AGAIN).await;
    }
}
