//! Waits for one answer on behalf of a client; what happens when the client goes away is in [`crate::gone`].

use std::sync::Arc;
use std::time::Duration;

use relay_schemas::{Request, TimestampMs};

use crate::gateway::Gateway;
use crate::gone::{self, Left};
use crate::limits::Permit;
use crate::questions;
use crate::slot::{End, Slot};

/// What happened next.
#[derive(Debug)]
pub enum Happened {
    /// Text for the client.
    Text(String),
    /// It ended.
    Ended(End),
    /// Nothing for as long as was asked.
    Idle,
    /// No end was heard of, and the deadline and its grace are over.
    TimedOut,
}

/// One client's wait for one answer. Dropped before the end, it has the request cancelled.
pub struct Waiter {
    gateway: Arc<Gateway>,
    slot: Arc<Slot>,
    left: Option<Left>,
    /// Deadline and grace.
    give_up_at: TimestampMs,
}

impl Waiter {
    /// Waits for `request`, whose frames and outcomes reach `slot` from now on.
    pub fn new(gateway: &Arc<Gateway>, slot: Arc<Slot>, request: &Request, permit: Permit) -> Self {
        gateway.routes.add(Arc::clone(&slot));
        Self {
            gateway: Arc::clone(gateway),
            slot,
            give_up_at: request.deadline.plus_ms(gateway.config.deadline_grace_ms),
            left: Some(Left {
                tenant: request.tenant.clone(),
                deadline: request.deadline,
                keyed: request.idempotency_key.is_some(),
                permit,
            }),
        }
    }

    /// The next thing that happens; `Idle` if that is nothing for `patience`. Safe to drop while waiting.
    pub async fn next(&mut self, patience: Duration) -> Happened {
        let idle_at = tokio::time::Instant::now() + patience;
        loop {
            let now = TimestampMs::now();
            let ready = self.slot.take(now);
            questions::put(&self.gateway, &self.slot, ready.questions);
            if !ready.text.is_empty() {
                return Happened::Text(ready.text);
            }
            if ready.ended {
                return self.end();
            }
            if now >= self.give_up_at {
                return self.time_out().await;
            }
            let look_at = ready
                .next_wakeup
                .map_or(self.give_up_at, |at| at.min(self.give_up_at));
            let pause = Duration::from_millis(u64::try_from(look_at.since_ms(now)).unwrap_or(0).max(1));
            tokio::select! {
                () = self.slot.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = tokio::time::sleep_until(idle_at) => return Happened::Idle,
            }
        }
    }

    /// It will never run: nobody needs to cancel it.
    pub fn dismiss(mut self) {
        self.left = None;
        self.gateway.routes.remove(&self.slot);
    }

    fn end(&mut self) -> Happened {
        self.left = None;
        self.gateway.routes.remove(&self.slot);
        match self.slot.take_end() {
            Some(end) => Happened::Ended(end),
            None => Happened::TimedOut,
        }
    }

    /// The sink may know what the log did not tell in time; whoever still holds the request is told that it is too late.
    async fn time_out(&mut self) -> Happened {
        if let Some(outcome) = questions::winner(&self.gateway, &self.slot.request_id).await {
            self.slot.on_winner(&outcome, TimestampMs::now());
        }
        let ready = self.slot.take(TimestampMs::now());
        if !ready.text.is_empty() {
            return Happened::Text(ready.text);
        }
        if ready.ended {
            return self.end();
        }
        // Under a key others may wait for the same request, here or elsewhere, and for longer.
        if let Some(left) = self.left.take().filter(|left| !left.keyed) {
            gone::cancel_once(&self.gateway, &self.slot.request_id, &left.tenant, "deadline").await;
        }
        self.gateway.routes.remove(&self.slot);
        Happened::TimedOut
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            gone::leave(&self.gateway, Arc::clone(&self.slot), left);
        }
    }
}
