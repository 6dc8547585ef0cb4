//! Sees requests to their end whose clients went away before.
//!
//! Such a request is cancelled: told to every service, again and again, until the end is seen or the deadline passes. Not so
//! under an idempotency key: a client that sends one says that it may come back and ask, and a recorded `cancelled` would be
//! all that it ever gets. The place in flight is given back only once the request has ended, so hanging up is no way around a
//! limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use relay_clock::Clock;
use relay_control::{Control, send, subjects};
use relay_runner::Shutdown;
use relay_schemas::{Cancel, RequestId, TenantId, TimestampMs};
use tokio_util::task::TaskTracker;

use super::pending::Pending;
use super::questions::Questions;
use super::routes::Routes;

/// What a client leaves behind when it goes.
#[derive(Debug)]
pub struct Claim {
    /// Whose request.
    pub tenant: TenantId,
    /// When its deadline passes, by the steady clock.
    pub due: TimestampMs,
    /// Whether it has an idempotency key.
    pub keyed: bool,
}

/// Sees abandoned requests to their end. Cheap to clone.
#[derive(Clone)]
pub struct Abandoned {
    /// Where cancels go.
    pub control: Arc<dyn Control>,
    /// Where the answers are routed.
    pub routes: Arc<Routes>,
    /// What fills their gaps.
    pub questions: Questions,
    /// What goes on when a client is gone.
    pub tasks: TaskTracker,
    /// Ends the cancelling.
    pub shutdown: Shutdown,
    /// Pause between two cancels of the same request.
    pub pause: Duration,
    /// Counts the clients.
    pub gone: IntCounter,
    /// Against the deadline.
    pub clock: Clock,
}

impl Abandoned {
    /// Sees the request to its end in the background.
    pub fn take_over(&self, pending: Arc<Pending>, claim: Claim) {
        self.gone.inc();
        pending.abandon();
        // A client that hangs up while the process ends may do so after the runtime is gone.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            pending.let_go();
            pending.parting.conclude(None);
            return;
        };
        let task = self.clone().see_to_the_end(pending, claim);
        runtime.spawn(self.tasks.track_future(task));
    }

    async fn see_to_the_end(self, pending: Arc<Pending>, claim: Claim) {
        let mut cancelled: Option<Instant> = None;
        loop {
            let now = self.clock.steady();
            let taken = pending.take(now);
            self.questions.put(&pending, taken.questions);
            if taken.ended || now >= claim.due || self.shutdown.is_stopped() {
                break;
            }
            let is_due = cancelled.is_none_or(|at| self.clock.since(at) >= self.pause);
            if !claim.keyed && is_due {
                self.cancel(&pending.request_id, &claim.tenant, "client_gone")
                    .await;
                cancelled = Some(self.clock.instant());
            }
            tokio::select! {
                biased;
                // Once draining, one cancel has been sent: the deadline does the rest.
                () = self.shutdown.draining() => break,
                () = pending.changed() => {}
                () = tokio::time::sleep(self.pause) => {}
            }
        }
        self.routes.remove(&pending);
        pending.let_go();
        pending.parting.conclude(pending.account());
    }

    /// Tells every service once.
    pub async fn cancel(&self, request: &RequestId, tenant: &TenantId, reason: &str) {
        let cancel = Cancel {
            request_id: request.clone(),
            tenant: tenant.clone(),
            reason: reason.to_owned(),
        };
        if let Err(error) = send(&*self.control, subjects::CANCEL, cancel).await {
            tracing::debug!(request.id = %request, %error, "a cancel could not be sent");
        }
    }
}
