//! Fallback to another pool: what this one cannot serve goes on in the pool of the plan's next candidate.
//!
//! Three things lead there, and only where the client has seen nothing: no worker takes what waits for too long, the workers of
//! every attempt were lost, or a worker gives a run back because its backend failed. Load does not: a full queue refuses.
//!
//! A request is held until the other pool's log has it, and then remembered, so that a repeated offer or a work record that comes
//! back late does not start it here. A leader that dies in between leaves it to its successor, which decides again: the other
//! pool knows the request by its id, and of two outcomes the first wins. A cancel ends it here as well: the other pool hears
//! the same cancel.
//!
//! Where the other pool's topic is not there, that is tried again for as long as the request may live: topics are made by a person.

use relay_lifecycle::{Reason, handed_over, next_pool};
use relay_schemas::{RequestId, TimestampMs};

use super::effects::{Effect, HandOver};
use super::moves;
use super::queues::{Arrival, Ticket};
use super::requests::Phase;
use super::scheduler::Core;

impl Core {
    /// Hands a request over to the next pool of its plan; it must not stay.
    pub(super) fn hand_over(&mut self, ticket: Ticket, reason: Reason, now: TimestampMs) {
        self.leave(ticket);
        self.requests.hand_over(ticket);
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let ready = (*pending.ready).clone();
        let Some(to) = next_pool(&ready.planning.plan, &self.pool).map(str::to_owned) else {
            return;
        };
        let at = self.timeline.now_for(ready.request.accepted_at, now);
        let handover = HandOver {
            ready: handed_over(ready, (&self.pool, &to), reason, pending.attempt, at),
            pool: to,
            trace: pending.trace.clone(),
        };
        self.effects.push(Effect::HandOver(Box::new(handover)));
    }

    /// The other pool's log has it: it is no longer ours.
    pub fn handed_over(&mut self, id: &RequestId) {
        if let Some(ticket) = self.leaving(id) {
            self.requests.leave(ticket);
            moves::remove(&mut self.requests, &mut self.queues, ticket);
            self.handed_over.insert(id, ());
            self.tally.handed_over += 1;
        }
    }

    /// The other pool's log refuses it for good (it is too large): it stays, whatever comes of that.
    pub fn cannot_hand_over(&mut self, id: &RequestId, now: TimestampMs) {
        if let Some(ticket) = self.leaving(id) {
            self.requests.leave(ticket);
            self.requests.must_stay(ticket);
            self.requests.waits_since(ticket, now);
            self.queue(ticket, Arrival::New, now);
        }
    }

    /// The other pool has no topic now: it is tried again after a while. Until then it can end here by a cancel or its deadline.
    pub fn cannot_hand_over_yet(&mut self, handover: HandOver, now: TimestampMs) {
        if self.leaving(&handover.ready.request.request_id).is_some() {
            self.blocked.add(handover, now);
        }
    }

    /// Tries again what could not be handed over and has not ended meanwhile.
    pub(super) fn hand_over_blocked(&mut self, now: TimestampMs) {
        for handover in self.blocked.take_due(now) {
            if self.leaving(&handover.ready.request.request_id).is_some() {
                self.effects.push(Effect::HandOver(Box::new(handover)));
            }
        }
    }

    fn leaving(&self, id: &RequestId) -> Option<Ticket> {
        let ticket = self.requests.ticket(id)?;
        let pending = self.requests.get(ticket)?;
        matches!(pending.phase, Phase::Leaving).then_some(ticket)
    }
}
