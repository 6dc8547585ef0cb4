//! Requests that somebody wants stopped.

use relay_lifecycle::Ending;
use relay_schemas::{Cancel, OutcomeStatus, TimestampMs};

use super::queues::Ticket;
use super::requests::Phase;
use super::scheduler::Core;

impl Core {
    /// Somebody wants a request stopped. Its worker ends it if it runs; here it ends if it waits.
    pub fn cancel(&mut self, cancel: &Cancel, now: TimestampMs) {
        let id = &cancel.request_id;
        if self.ended.get(id).is_some() {
            return;
        }
        self.cancelled.insert(id, cancel.tenant.clone());
        let Some(ticket) = self.requests.ticket(id) else {
            return;
        };
        let pending = self.requests.get(ticket);
        let Some(pending) = pending.filter(|pending| pending.ready.request.tenant == cancel.tenant) else {
            return;
        };
        match &pending.phase {
            Phase::Leased(_) => self.requests.cancel(ticket),
            // The pool that it may have reached hears the same cancel, and of two outcomes the first wins.
            Phase::Queued | Phase::Leaving if self.recovery.leads() => self.end(ticket, cancelled(), now),
            Phase::Queued | Phase::Moving | Phase::Leaving | Phase::Ending => {}
        }
    }

    /// Ends what was cancelled while nobody led.
    pub(super) fn cancel_waiting(&mut self, now: TimestampMs) {
        let pending = self.requests.iter();
        let queued = pending.filter(|(_, pending)| matches!(pending.phase, Phase::Queued));
        let abandoned = queued.filter(|(_, pending)| {
            let request = &pending.ready.request;
            self.cancelled.get(&request.request_id) == Some(&request.tenant)
        });
        let abandoned: Vec<Ticket> = abandoned.map(|(ticket, _)| ticket).collect();
        for ticket in abandoned {
            self.end(ticket, cancelled(), now);
        }
    }
}

/// How a cancelled request ends.
pub(super) fn cancelled() -> Ending {
    Ending::because(OutcomeStatus::Cancelled, "cancelled", "it was cancelled")
}
