//! Listens for reply frames, and answers the scheduler's questions about them.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use relay_clock::Clock;
use relay_control::{Control, Delivery, Message, Subscription, subjects};
use relay_runner::{Backoff, Chance, Identity, serve_forever};
use relay_schemas::{FenceAnswer, FenceQuery, Frame, Registry};

use super::routes::Routes;
use crate::cluster::readiness::{Dependency, Readiness};

/// Pauses between two tries to listen.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// Takes reply frames in for the answers that are waited for.
pub struct Replies {
    /// Where they come from.
    pub control: Arc<dyn Control>,
    /// Other writers' schemas.
    pub schemas: Arc<Registry>,
    /// The subject on which they come.
    pub subject: String,
    /// The answers.
    pub routes: Arc<Routes>,
    /// Told whether frames arrive.
    pub readiness: Arc<Readiness>,
    /// Counts frames that no client waited for.
    pub strays: IntCounter,
    /// When a frame came.
    pub clock: Clock,
    /// Spreads the tries.
    pub chance: Chance,
}

impl Replies {
    /// Keeps the one reply subscription of this ingress in place. Never returns; dropped at the end.
    pub async fn listen(self) {
        let mut backoff = Backoff::new(FIRST, LONGEST, &self.chance);
        loop {
            match self.control.subscribe(&self.subject, None).await {
                Ok(mut frames) => {
                    backoff.reset();
                    self.report(Ok(()));
                    // What was sent before is lost.
                    self.routes.lost(None, self.clock.steady());
                    self.dispatch(frames.as_mut()).await;
                    self.report(Err("the subscription ended".to_owned()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot listen for replies; trying again");
                    self.report(Err(error.to_string()));
                }
            }
            backoff.wait().await;
        }
    }

    fn report(&self, listening: Result<(), String>) {
        self.readiness.report(Dependency::Replies, listening);
    }

    async fn dispatch(&self, frames: &mut dyn Subscription) {
        while let Some(event) = frames.next().await {
            match event {
                Delivery::Message(message) => self.on_message(&message),
                Delivery::Lost => self.routes.lost(None, self.clock.steady()),
            }
        }
    }

    fn on_message(&self, message: &Message) {
        let now = self.clock.steady();
        match message.payload.read::<Frame>(&self.schemas) {
            Ok(frame) => {
                // The log often tells the end before the last frame does.
                let is_last = frame.end.is_some();
                if !self
                    .routes
                    .frame(Arc::unwrap_or_clone(frame), &message.subject, now)
                    && !is_last
                {
                    self.strays.inc();
                }
            }
            Err(error) => {
                tracing::warn!(messaging.subject = message.subject, %error, "an unreadable frame counts as lost");
                if let Some(request) = subjects::request_of_reply(&message.subject) {
                    self.routes.lost(Some(&request), now);
                }
            }
        }
    }
}

/// Answers questions to fence runs. Never returns; dropped at the end.
pub async fn answer_fences(
    control: Arc<dyn Control>,
    identity: &Identity,
    routes: Arc<Routes>,
    chance: Chance,
) {
    let subject = subjects::fence_of(&identity.instance, identity.epoch);
    let answer = |query: FenceQuery| std::future::ready(Some(routes.fence(&query)));
    serve_forever::<_, FenceAnswer, _, _>(control, subject, None, chance, answer).await;
}
