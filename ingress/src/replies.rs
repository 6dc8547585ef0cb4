//! Listens for reply frames, and answers the scheduler's questions about them.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{Event, Message, Subscription, subjects};
use relay_schemas::{FenceAnswer, FenceQuery, Frame, RequestId, TimestampMs};

use crate::gateway::Gateway;

const AGAIN: Duration = Duration::from_millis(500);

/// Keeps the one reply subscription of this ingress in place. Never returns; dropped at the end.
pub async fn listen(gateway: Arc<Gateway>) {
    let subject = subjects::replies(&gateway.identity.instance, gateway.identity.epoch);
    loop {
        match gateway.control.subscribe(&subject, None).await {
            Ok(mut frames) => {
                gateway.set_listening(true, "");
                // What was sent while nobody listened is lost.
                gateway.routes.lost(None, TimestampMs::now());
                dispatch(&gateway, frames.as_mut()).await;
                gateway.set_listening(false, "the subscription ended");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen for replies; trying again");
                gateway.set_listening(false, &error.to_string());
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn dispatch(gateway: &Gateway, frames: &mut dyn Subscription) {
    while let Some(event) = frames.next().await {
        let now = TimestampMs::now();
        match event {
            Event::Message(message) => on_message(gateway, &message, now),
            Event::Lost => gateway.routes.lost(None, now),
        }
    }
}

fn on_message(gateway: &Gateway, message: &Message, now: TimestampMs) {
    match gateway.runtime.schemas.decode::<Frame>(Some(&message.payload)) {
        Ok(frame) => {
            // The log often tells the end before the last frame does.
            let is_last = frame.end.is_some();
            if !gateway.routes.frame(frame, now) && !is_last {
                gateway.metrics.strays.inc();
            }
        }
        Err(error) => {
            tracing::warn!(messaging.subject = message.subject, %error, "an unreadable frame counts as lost");
            if let Some((_, request)) = message.subject.rsplit_once('.') {
                gateway.routes.lost(Some(&RequestId::new(request)), now);
            }
        }
    }
}

/// Answers questions to fence runs. Never returns; dropped at the end.
pub async fn answer_fences(gateway: Arc<Gateway>) {
    let subject = subjects::fence_of(&gateway.identity.instance, gateway.identity.epoch);
    loop {
        let routes = &gateway.routes;
        let answer = |query: FenceQuery| std::future::ready::<FenceAnswer>(routes.fence(&query));
        let control = Arc::clone(&gateway.control);
        if let Err(error) = relay_control::serve(control, &subject, None, answer).await {
            tracing::warn!(%error, "cannot listen for questions to fence; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}
