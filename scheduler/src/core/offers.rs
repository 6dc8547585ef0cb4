//! Records of `ready`: a request is offered, and waits or ends at once.

use std::sync::Arc;

use relay_lifecycle::Ending;
use relay_schemas::{Class, OutcomeStatus, Ready, TimestampMs};

use super::cancels::cancelled;
use super::place::{Arrival, Place, Ticket};
use super::request::{At, Held, Offer, State, deadline, flow, lane, route};
use super::snapshot::Expected;
use super::{Core, Input};

impl Core {
    /// A request comes in. Of one that is known only the reply address is taken; one that has ended is dropped.
    pub fn offer(&mut self, offer: Offer, now: TimestampMs) {
        let new = self.offsets.fold(Input::Ready, offer.at);
        let expected = self.expected.remove(&offer.at);
        if !new && expected.is_none() {
            return;
        }
        let id = &offer.ready.request.request_id;
        if let Some(ticket) = self.ids.get(id).copied() {
            self.counts.duplicates += 1;
            return self.offer_again(ticket, offer);
        }
        if self.ended.get(id).is_some() {
            self.counts.duplicates += 1;
            return;
        }
        let ticket = self.hold(offer);
        if !self.resume(ticket, expected, now) {
            self.admit(ticket, now);
        }
    }

    /// Gives a request the state in which a snapshot expects it; false if none does.
    pub(super) fn resume(&mut self, ticket: Ticket, expected: Option<Expected>, now: TimestampMs) -> bool {
        match expected {
            Some(Expected::Waiting { attempt, waited_ms }) => {
                if let Some(held) = self.held.get_mut(&ticket) {
                    held.attempt = attempt;
                    held.waited_ms = waited_ms;
                }
                self.enqueue(ticket, Arrival::Restored);
            }
            Some(Expected::Leased(entry)) if self.is_of(ticket, &entry.request_id) => {
                self.restore_lease(ticket, *entry, now);
            }
            // A log that lost its end gives an offset to another request: that one is new.
            Some(Expected::Leased(_)) | None => return false,
        }
        true
    }

    fn is_of(&self, ticket: Ticket, id: &relay_schemas::RequestId) -> bool {
        self.held
            .get(&ticket)
            .is_some_and(|held| held.ready.request.request_id == *id)
    }

    /// Holds an offer, in no state that counts yet.
    fn hold(&mut self, offer: Offer) -> Ticket {
        let Offer {
            ready,
            at,
            bytes,
            queued_at,
            trace,
        } = offer;
        let ticket = self.insert(ready, Some(at), bytes, queued_at);
        if let Some(held) = self.held.get_mut(&ticket) {
            held.trace = trace;
        }
        ticket
    }

    pub(super) fn insert(
        &mut self,
        ready: Ready,
        at: Option<At>,
        bytes: usize,
        queued_at: TimestampMs,
    ) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let counts = &mut self.counts;
        counts.body_bytes += bytes;
        counts.longest_prompt = counts.longest_prompt.max(ready.request.prompt_tokens.0.into());
        let output = ready.planning.plan.decoding.max_tokens.0.into();
        counts.longest_output = counts.longest_output.max(output);
        let held = Held {
            place: Place {
                tenant: self.queues.tenant(&ready.request.tenant),
                flow: flow(ready.request.class, lane(&ready)),
                route: route(&ready, &self.pool),
            },
            at,
            bytes,
            queued_at,
            since: queued_at,
            waited_ms: 0,
            waiting_ahead: counts.waiting() as u32,
            attempt: 0,
            trace: None,
            state: State::Ending,
            ready: Arc::new(ready),
        };
        self.ids.insert(held.ready.request.request_id.clone(), ticket);
        self.held.insert(ticket, held);
        ticket
    }

    fn offer_again(&mut self, ticket: Ticket, offer: Offer) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        held.at = Some(offer.at);
        if offer.ready.request.reply_to.is_some()
            && held.ready.request.reply_to != offer.ready.request.reply_to
        {
            Arc::make_mut(&mut held.ready).request.reply_to = offer.ready.request.reply_to;
        }
        self.counts.changes += 1;
    }

    /// Queues a new request, or ends it at once where there is no room or no time.
    fn admit(&mut self, ticket: Ticket, now: TimestampMs) {
        if self.leading
            && let Some(ending) = self.refusal(ticket, now)
        {
            return self.end(ticket, ending, now);
        }
        self.enqueue(ticket, Arrival::New);
    }

    fn refusal(&mut self, ticket: Ticket, now: TimestampMs) -> Option<Ending> {
        let held = self.held.get(&ticket)?;
        let request = &held.ready.request;
        if deadline(&held.ready) <= now {
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
        let tenant = self.queues.get(held.place.tenant).waiting;
        let all = self.counts.waiting_interactive();
        let (code, message, waiting) = if all >= self.config.max_waiting {
            ("queue_full", "too many requests wait in this pool", all)
        } else if tenant >= self.config.max_waiting_per_tenant {
            // Its queue drains at its share of what is served.
            let share = self.queues.tenants_waiting().max(1);
            let message = "too many requests of this tenant wait";
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

    /// Puts a held request into the queues.
    pub(super) fn enqueue(&mut self, ticket: Ticket, arrival: Arrival) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        held.state = State::Waiting;
        let place = held.place.clone();
        self.deadlines.insert((held.deadline(), ticket));
        self.count_waiting(ticket, true);
        self.queues.push(&place, ticket, arrival);
        self.counts.changes += 1;
    }
}
