//! Listens for reply frames, and answers the scheduler's questions about them.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use relay_clock::Clock;
use relay_control::{Control, Event, Message, Subscription, subjects};
use relay_runner::Identity;
use relay_schemas::{FenceAnswer, FenceQuery, Frame, Registry, RequestId};

use super::routes::Routes;
use crate::cluster::readiness::{Dependency, Readiness};

const AGAIN: Duration = Duration::from_millis(500);

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
}

impl Replies {
    /// Keeps the one reply subscription of this ingress in place. Never returns; dropped at the end.
    pub async fn listen(self) {
        loop {
            match self.control.subscribe(&self.subject, None).await {
                Ok(mut frames) => {
                    self.report(Ok(()));
                    // What was sent before is lost.
                    self.routes.lost(None, self.clock.now());
                    self.dispatch(frames.as_mut()).await;
                    self.report(Err("the subscription ended".to_owned()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot listen for replies; trying again");
                    self.report(Err(error.to_string()));
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn report(&self, listening: Result<(), String>) {
        self.readiness.report(Dependency::Replies, listening);
    }

    async fn dispatch(&self, frames: &mut dyn Subscription) {
        while let Some(event) = frames.next().await {
            match event {
                Event::Message(message) => self.on_message(&message),
                Event::Lost => self.routes.lost(None, self.clock.now()),
            }
        }
    }

    fn on_message(&self, message: &Message) {
        let now = self.clock.now();
        match self.schemas.decode::<Frame>(Some(&message.payload)) {
            Ok(frame) => {
                // The log often tells the end before the last frame does.
                let is_last = frame.end.is_some();
                if !self.routes.frame(frame, now) && !is_last {
                    self.strays.inc();
                }
            }
            Err(error) => {
                tracing::warn!(messaging.subject = message.subject, %error, "an unreadable frame counts as lost");
                if let Some((_, request)) = message.subject.rsplit_once('.') {
                    self.routes.lost(Some(&RequestId::new(request)), now);
                }
            }
        }
    }
}

/// Answers questions to fence runs. Never returns; dropped at the end.
pub async fn answer_fences(control: Arc<dyn Control>, identity: Identity, routes: Arc<Routes>) {
    let subject = subjects::fence_of(&identity.instance, identity.epoch);
    loop {
        let answer = |query: FenceQuery| std::future::ready::<FenceAnswer>(routes.fence(&query));
        if let Err(error) = relay_control::serve(Arc::clone(&control), &subject, None, answer).await {
            tracing::warn!(%error, "cannot listen for questions to fence; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}
