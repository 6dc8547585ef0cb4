//! A client went away before its answer ended.
//!
//! Its request is cancelled: told to everybody, again and again, until the end is seen or the deadline passes. Not so under
//! an idempotency key: who sends one says that it may come back and ask, and a recorded `cancelled` would be all that it
//! ever gets. The place in flight is given back only once the request has ended, so hanging up is no way around a limit.

use std::sync::Arc;
use std::time::Duration;

use relay_control::{send, subjects};
use relay_schemas::{Cancel, RequestId, TenantId, TimestampMs};

use crate::gateway::Gateway;
use crate::limits::Permit;
use crate::questions;
use crate::slot::Slot;

/// What a client left behind.
#[derive(Debug)]
pub struct Left {
    /// Whose request.
    pub tenant: TenantId,
    /// Its deadline.
    pub deadline: TimestampMs,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// Its place in flight.
    pub permit: Permit,
}

/// Sees the request to its end in the background.
pub fn leave(gateway: &Arc<Gateway>, slot: Arc<Slot>, left: Left) {
    gateway.metrics.gone.inc();
    slot.abandon();
    // A client that hangs up while the process ends may do so after the runtime is gone.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let task = see_to_the_end(Arc::clone(gateway), slot, left);
    runtime.spawn(gateway.tasks.track_future(task));
}

async fn see_to_the_end(gateway: Arc<Gateway>, slot: Arc<Slot>, left: Left) {
    let every = Duration::from_millis(gateway.config.cancel_every_ms.max(1));
    let mut cancel_at = tokio::time::Instant::now();
    loop {
        let now = TimestampMs::now();
        let ready = slot.take(now);
        questions::put(&gateway, &slot, ready.questions);
        if ready.ended || now >= left.deadline || gateway.runtime.shutdown.is_stopped() {
            break;
        }
        if !left.keyed && cancel_at <= tokio::time::Instant::now() {
            cancel_once(&gateway, &slot.request_id, &left.tenant, "client_gone").await;
            cancel_at = tokio::time::Instant::now() + every;
        }
        tokio::select! {
            () = slot.changed() => {}
            () = tokio::time::sleep(every) => {}
            // Once draining, one cancel has been sent: the deadline does the rest.
            () = gateway.runtime.shutdown.draining() => break,
        }
    }
    gateway.routes.remove(&slot);
    drop(left.permit);
}

/// Tells everybody once.
pub async fn cancel_once(gateway: &Gateway, request: &RequestId, tenant: &TenantId, reason: &str) {
    let cancel = Cancel {
        request_id: request.clone(),
        tenant: tenant.clone(),
        reason: reason.to_owned(),
    };
    if let Err(error) = send(&*gateway.control, subjects::CANCEL, &cancel).await {
        tracing::debug!(request.id = %request, %error, "a cancel could not be sent");
    }
}
