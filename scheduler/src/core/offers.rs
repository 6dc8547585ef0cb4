//! Records of `ready`: a request is offered, and waits or ends at once.

use relay_lifecycle::Ending;
use relay_schemas::{Class, OutcomeStatus, TimestampMs};

use super::cancels::cancelled;
use super::moves;
use super::queues::{Arrival, Route, Ticket};
use super::recovery::{Expected, Input};
use super::requests::{Leased, Offer};
use super::scheduler::Core;

impl Core {
    /// A request comes in. Of one that is known only the reply address is taken; one that has ended is dropped.
    pub fn offer(&mut self, offer: Offer, now: TimestampMs) {
        let new = self.recovery.fold(Input::Ready, offer.at);
        let expected = self.recovery.take_expected(offer.at);
        if !new && expected.is_none() {
            return;
        }
        let id = &offer.ready.request.request_id;
        if let Some(ticket) = self.requests.ticket(id) {
            self.tally.duplicates += 1;
            return self.requests.offered_again(ticket, &offer);
        }
        if self.ended.get(id).is_some() || self.handed_over.get(id).is_some() {
            self.tally.duplicates += 1;
            return;
        }
        let arrived = offer.arrive(&self.timeline, now);
        let ticket = moves::insert(&mut self.requests, &mut self.queues, arrived, &self.pool);
        if self.resume(ticket, expected, now) {
            return;
        }
        match self.refusal(ticket, now) {
            Some(ending) => self.end(ticket, ending, now),
            None => self.queue(ticket, Arrival::New, now),
        }
    }

    /// Puts a moving request into its queue.
    pub(super) fn queue(&mut self, ticket: Ticket, arrival: Arrival, now: TimestampMs) {
        let pending = self.requests.get(ticket);
        let open = pending.is_some_and(|pending| self.is_served(&pending.key.route, now));
        moves::queue(&mut self.requests, &mut self.queues, ticket, arrival, open);
    }

    /// Looks which of what waits could be dispatched.
    pub(super) fn look_over_service(&mut self, now: TimestampMs) {
        let (leads, workers) = (self.recovery.leads(), &self.workers);
        // Who has just begun to lead has not heard of every worker: what waited for one then was not away.
        let may_come = workers.may_come(now);
        self.queues
            .look(|route, was_open| !leads || workers.serves(route, now) || (was_open && may_come));
    }

    /// Whether a live worker takes what waits on a route. Who does not lead need not have heard of any.
    fn is_served(&self, route: &Route, now: TimestampMs) -> bool {
        !self.recovery.leads() || self.workers.serves(route, now)
    }

    /// Leases a moving request.
    pub(super) fn lease(&mut self, ticket: Ticket, leased: Leased) {
        let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
        moves::lease(requests, queues, workers, ticket, leased);
    }

    /// Gives a moving request the state in which a snapshot expects it; false if none does.
    pub(super) fn resume(&mut self, ticket: Ticket, expected: Option<Expected>, now: TimestampMs) -> bool {
        let pending = self.requests.get(ticket);
        let id = pending.map(|pending| &pending.ready.request.request_id);
        match expected {
            Some(Expected::Waiting {
                attempt,
                waited_ms,
                let_off,
            }) => {
                self.requests.resume(ticket, attempt, waited_ms, let_off);
                self.queue(ticket, Arrival::Restored, now);
            }
            Some(Expected::Leased(entry)) if id == Some(&entry.request_id) => {
                let (attempt, waited_ms) = (entry.lease.attempt, entry.queueing.queue_wait_ms);
                self.requests.resume(ticket, attempt, waited_ms, entry.let_off);
                let mut leased = Leased::read(entry.lease, entry.queueing, now);
                (leased.tokens, leased.cancelled) = (entry.tokens.0, entry.cancelled);
                self.lease(ticket, leased);
            }
            // A log that lost its end gives an offset to another request: that one is new.
            Some(Expected::Leased(_)) | None => return false,
        }
        true
    }

    /// Why a new request ends at once, where there is no room or no time. Who does not lead refuses nothing.
    fn refusal(&mut self, ticket: Ticket, now: TimestampMs) -> Option<Ending> {
        let pending = self.requests.get(ticket)?;
        if !self.recovery.leads() {
            return None;
        }
        let request = &pending.ready.request;
        if pending.due <= now {
            let message = "its deadline had passed when it reached the queue";
            return Some(Ending::because(
                OutcomeStatus::Expired,
                "deadline_exceeded",
                message,
            ));
        }
        if self.cancelled.get(&request.request_id) == Some(&request.tenant) {
            return Some(cancelled());
        }
        if request.class == Class::Batch {
            return None;
        }
        let tenant = self.queues.get(pending.key.tenant).waiting();
        let all = self.requests.waiting_interactive();
        let bytes = self.requests.body_bytes_of(pending.key.tenant);
        let limits = &self.config.limits;
        let (code, message, waiting) = if all >= limits.max_waiting {
            ("queue_full", "too many requests wait in this pool", all)
        } else if tenant >= limits.max_waiting_per_tenant || bytes > limits.max_bodies_per_tenant.as_usize() {
            // Its queue drains at its share of what is served.
            let share = self.queues.tenants_waiting().max(1);
            let message = if bytes > limits.max_bodies_per_tenant.as_usize() {
                "the requests of this tenant that wait and run are too large together"
            } else {
                "too many requests of this tenant wait"
            };
            (
                "tenant_queue_full",
                message,
                tenant.saturating_mul(share).min(all.max(tenant)),
            )
        } else {
            return None;
        };
        let mut ending = Ending::because(OutcomeStatus::Rejected, code, message);
        ending.retry_after_ms = Some(self.rate.drain_ms(waiting, now));
        Some(ending)
    }
}
