//! Inputs from the log and the control seam become state.

use std::sync::Arc;

use relay_lifecycle::Ending;
use relay_schemas::{Cancel, Class, Outcome, OutcomeStatus, Ready, Service, TimestampMs, Work, WorkerStatus};

use super::counter::cost;
use super::credits::Heard;
use super::queue::{Arrival, Place, Ticket};
use super::request::{At, Doubt, Held, Leased, Offer, State, deadline, flow, route};
use super::snapshot::Expected;
use super::{Attempt, Core, Effect, Input};

/// What became of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// It ended a request that was held.
    Ended,
    /// It ended one that was not held.
    Unknown,
    /// Another outcome had won.
    Superseded,
    /// It lay before the snapshot and is only remembered.
    Before,
}

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
            Some(Expected::Leased(_)) | None => self.admit(ticket, now),
        }
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

    fn insert(&mut self, ready: Ready, at: Option<At>, bytes: usize, queued_at: TimestampMs) -> Ticket {
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
                flow: flow(&ready),
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

    /// A work record is read: our own comes back, or a predecessor's becomes known.
    pub fn work(&mut self, work: Work, input: Input, at: At, ready_at: Option<At>, now: TimestampMs) {
        if !self.offsets.fold(input, at) {
            return;
        }
        let id = &work.request.request_id;
        if self.ended.get(id).is_some() {
            return;
        }
        let ticket = self.ids.get(id).copied();
        let ticket = ticket.unwrap_or_else(|| {
            let ready = Ready {
                request: work.request,
                planning: work.planning,
                caching: work.caching,
            };
            // The body counts as about what its encoded text takes; the record's own size is not known here.
            let bytes = ready.request.canonical.len() + 1_024;
            let ticket = self.insert(ready, ready_at, bytes, work.queueing.queued_at);
            self.enqueue(ticket, Arrival::New);
            ticket
        });
        self.adopt(ticket, work.lease, work.queueing, now);
    }

    /// The header of one of our own work records was read back: the body is known.
    pub fn work_read_back(
        &mut self,
        id: &relay_schemas::RequestId,
        attempt: u32,
        epoch: i64,
        input: Input,
        at: At,
    ) -> bool {
        let Some(leased) = self
            .ids
            .get(id)
            .and_then(|ticket| self.held.get_mut(ticket))
            .and_then(Held::leased_mut)
        else {
            return false;
        };
        if leased.lease.attempt != attempt || leased.lease.scheduler_epoch != epoch {
            return false;
        }
        leased.read_back = true;
        leased.published = true;
        self.offsets.fold(input, at);
        true
    }

    fn adopt(
        &mut self,
        ticket: Ticket,
        lease: relay_schemas::Lease,
        queueing: relay_schemas::Queueing,
        now: TimestampMs,
    ) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if let Some(leased) = held.leased_mut().filter(|leased| leased.lease == lease) {
            leased.read_back = true;
            return;
        }
        let newest = held.leased().map_or((held.attempt, i64::MIN), |leased| {
            (leased.lease.attempt, leased.lease.scheduler_epoch)
        });
        let ending = matches!(held.state, State::Ending);
        if ending || (lease.attempt, lease.scheduler_epoch) <= newest {
            return self.confirm_ends(ticket);
        }
        self.leave(ticket);
        self.grant(ticket, Leased::read(lease, queueing, now));
    }

    /// A lease came to light that is not the one we know: an overtaken scheduler's record landed late, and two workers may
    /// run the request. Its ingress is told to believe no end by itself; fencing attempt 0 says that and fences nothing.
    fn confirm_ends(&mut self, ticket: Ticket) {
        let Some(held) = self.held.get(&ticket).filter(|_| self.leading) else {
            return;
        };
        let request = &held.ready.request;
        if let Some(reply_to) = request.reply_to.clone() {
            let attempt = Attempt {
                request_id: request.request_id.clone(),
                attempt: 0,
            };
            self.effects.push(Effect::AskFence { attempt, reply_to });
        }
    }

    /// A worker tells what it is and holds.
    pub fn status(&mut self, status: &WorkerStatus, now: TimestampMs) {
        if status.pool != self.pool {
            return;
        }
        let heard = self.workers.hear(status, now);
        if heard == Heard::Stale {
            return;
        }
        let tickets: Vec<Ticket> = self
            .by_worker
            .get(&status.worker)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let mut foreign: std::collections::HashSet<_> = std::collections::HashSet::new();
        for shown in &status.in_flight {
            if !self.shown(status, shown, now) {
                foreign.insert(shown.request_id.clone());
            }
        }
        let mut leased = [0, 0];
        for ticket in tickets {
            let Some(held) = self.held.get(&ticket) else {
                continue;
            };
            let Some(lease) = held.leased() else { continue };
            if lease.lease.worker_epoch == status.epoch {
                leased[held.place.route.lane as usize] += 1;
            } else if lease.lease.worker_epoch < status.epoch {
                self.doubt(ticket);
            }
        }
        self.workers.set_leased(&status.worker, leased);
        self.workers.holds_foreign(&status.worker, foreign);
        self.settle_doubts();
    }

    /// Notes that a worker shows a run; false if it is no lease of ours.
    fn shown(&mut self, status: &WorkerStatus, shown: &relay_schemas::InFlight, now: TimestampMs) -> bool {
        let Some(ticket) = self.ids.get(&shown.request_id).copied() else {
            return false;
        };
        let Some(held) = self.held.get_mut(&ticket) else {
            return false;
        };
        let place = held.place.clone();
        let prompt = u64::from(held.ready.request.prompt_tokens.0);
        let Some(leased) = held.leased_mut() else {
            return false;
        };
        let lease = &leased.lease;
        let ours = lease.worker == status.worker
            && lease.worker_epoch == status.epoch
            && lease.attempt == shown.attempt;
        if !ours {
            return false;
        }
        leased.seen_at = now;
        if leased.doubt == Doubt::Folding {
            leased.doubt = Doubt::None;
        }
        leased.tokens = leased.tokens.max(shown.tokens.0);
        let due = cost(prompt, leased.tokens.into());
        let (before, more) = (leased.charged, due.saturating_sub(leased.charged));
        leased.charged += more;
        if more > 0 {
            self.queues.hold(place.tenant, place.flow, before, more);
        }
        true
    }

    /// A request has ended, by whomever. The first outcome in partition order wins; others change nothing.
    pub fn outcome(&mut self, outcome: &Outcome, at: At) -> Folded {
        let id = &outcome.request_id;
        if !self.offsets.fold(Input::Outcomes, at) {
            self.ended.insert(id, ());
            // Offered again since then: its end lies before the snapshot and was charged there.
            if let Some(ticket) = self.ids.remove(id) {
                self.leave(ticket);
                let dropped = self.held.remove(&ticket);
                self.counts.body_bytes -= dropped.map_or(0, |held| held.bytes);
                self.counts.duplicates += 1;
            }
            return Folded::Before;
        }
        if outcome.run.service == Service::Workers {
            self.workers.ended(&outcome.run.instance, id);
        }
        let first = self.ended.insert(id, ());
        if let Some(ticket) = self.ids.remove(id) {
            self.forget(ticket, outcome);
            return Folded::Ended;
        }
        if first {
            return Folded::Unknown;
        }
        self.counts.superseded += 1;
        Folded::Superseded
    }

    /// Lets a held request go, charging what its winning outcome says.
    fn forget(&mut self, ticket: Ticket, outcome: &Outcome) {
        let ran = outcome.lease.is_some();
        let usage = if ran {
            outcome.usage
        } else {
            relay_schemas::Usage::default()
        };
        let (prompt, completion) = (
            u64::from(usage.prompt_tokens.0),
            u64::from(usage.completion_tokens.0),
        );
        let place = self
            .held
            .get(&ticket)
            .map(|held| (held.place.clone(), held.ready.request.tenant.clone()));
        let was_leased = self.held.get(&ticket).is_some_and(|held| held.leased().is_some());
        if was_leased {
            self.release(ticket, Some(cost(prompt, completion)));
            self.counts.changes += 1;
        } else {
            self.leave(ticket);
        }
        let Some(held) = self.held.remove(&ticket) else {
            return;
        };
        self.counts.body_bytes = self.counts.body_bytes.saturating_sub(held.bytes);
        let Some((place, tenant)) = place.filter(|_| ran) else {
            return;
        };
        // While it was ending or waiting its tenant may have been forgotten, so it is looked up again by name.
        let ix = self.queues.tenant(&tenant);
        self.queues.book(ix, prompt, completion);
        self.counts.prompt_tokens += prompt;
        self.counts.completion_tokens += completion;
        if !was_leased {
            self.queues.settle(ix, place.flow, 0, cost(prompt, completion));
        }
    }

    /// Somebody wants a request stopped. Its worker ends it if it runs; here it ends if it waits.
    pub fn cancel(&mut self, cancel: &Cancel, now: TimestampMs) {
        let id = &cancel.request_id;
        if self.ended.get(id).is_some() {
            return;
        }
        self.cancelled.insert(id, cancel.tenant.clone());
        let Some(ticket) = self.ids.get(id).copied() else {
            return;
        };
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        if held.ready.request.tenant != cancel.tenant {
            return;
        }
        match &mut held.state {
            State::Leased(leased) => {
                self.counts.changes += u64::from(!leased.cancelled);
                leased.cancelled = true;
            }
            State::Waiting if self.leading => self.end(ticket, cancelled(), now),
            State::Waiting | State::Ending => {}
        }
    }

    /// Ends what was cancelled while nobody led.
    pub(super) fn cancel_waiting(&mut self, now: TimestampMs) {
        let held = self.held.iter();
        let waiting = held.filter(|(_, held)| matches!(held.state, State::Waiting));
        let gone = waiting.filter(|(_, held)| {
            let request = &held.ready.request;
            self.cancelled.get(&request.request_id) == Some(&request.tenant)
        });
        let gone: Vec<Ticket> = gone.map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            self.end(ticket, cancelled(), now);
        }
    }
}

/// How a cancelled request ends.
pub(super) fn cancelled() -> Ending {
    Ending::because(OutcomeStatus::Cancelled, "cancelled", "it was cancelled")
}
