//! The requests that have not ended, from the offer to the outcome that is read back.
//!
//! Invariant: a request is known by its id and by one ticket, and both go together. Exactly the queued ones are counted as waiting,
//! those and what is leaving have their deadline in `deadlines`; exactly the leased ones stand in `leased` and, under their worker, in `by_worker`.
//! A request is lent out for reading only, so it changes by the methods here and in `doubts`, and the tables
//! change with it.

mod bodies;
mod doubts;
mod lease;
mod longest;
mod pending;
mod plan;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use relay_lifecycle::attempts_before;
use relay_schemas::{InFlight, InstanceId, RequestId, Returned, TimestampMs, WorkerStatus};

pub use lease::{Attempt, Doubt, Doubted, Leased};
pub use pending::{Arrived, Offer, Pending, Phase};
pub use plan::{due, flow, lane, route};

use self::bodies::Bodies;
use self::longest::Longest;
use super::queues::{Charge, Flow, QueueKey, TenantIx, Ticket};

/// See the module.
#[derive(Debug, Default)]
pub struct Requests {
    pending: BTreeMap<Ticket, Pending>,
    ids: HashMap<RequestId, Ticket>,
    leased: BTreeSet<Ticket>,
    by_worker: BTreeMap<InstanceId, BTreeSet<Ticket>>,
    deadlines: BTreeSet<(TimestampMs, Ticket)>,
    next_ticket: Ticket,
    waiting: [usize; 3],
    bodies: Bodies,
    longest: Longest,
    changes: u64,
    /// Leases came into doubt so often.
    doubts: u64,
}

impl Requests {
    /// Takes a request in, which must not be known. It is moving. `stays`: no other pool follows.
    pub fn insert(&mut self, arrived: Arrived, key: QueueKey, stays: bool) -> Ticket {
        let Arrived {
            ready,
            at,
            bytes,
            queued_at,
            since,
            due,
            trace,
        } = arrived;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.bodies.add(key.tenant, bytes);
        self.longest.add(&ready);
        self.ids.insert(ready.request.request_id.clone(), ticket);
        let pending = Pending {
            at,
            bytes,
            key,
            queued_at,
            since,
            due,
            waited_ms: 0,
            waiting_ahead: self.queued() as u32,
            attempt: attempts_before(&ready.planning),
            let_off: 0,
            trace,
            stays,
            charged: Charge::default(),
            phase: Phase::Moving,
            ready: Arc::new(ready),
        };
        self.pending.insert(ticket, pending);
        ticket
    }

    /// The ticket of a request.
    pub fn ticket(&self, id: &RequestId) -> Option<Ticket> {
        self.ids.get(id).copied()
    }

    /// A request by ticket.
    pub fn get(&self, ticket: Ticket) -> Option<&Pending> {
        self.pending.get(&ticket)
    }

    /// A request by id.
    pub fn find(&self, id: &RequestId) -> Option<&Pending> {
        self.get(self.ticket(id)?)
    }

    /// The ticket of a request that is leased under this very attempt.
    pub fn leased_as(&self, attempt: &Attempt) -> Option<Ticket> {
        let ticket = self.ticket(&attempt.request_id)?;
        let leased = self.get(ticket)?.leased()?;
        (leased.lease.attempt == attempt.attempt).then_some(ticket)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, &Pending)> {
        self.pending.iter().map(|(ticket, pending)| (*ticket, pending))
    }

    /// What is leased to a worker.
    pub fn leased_to(&self, worker: &InstanceId) -> Vec<Ticket> {
        self.by_worker
            .get(worker)
            .map_or_else(Vec::new, |tickets| tickets.iter().copied().collect())
    }

    /// It was offered again: from now on it lies there, and answers go where that offer says. Not so with another body, which two
    /// ingresses took under one key: its client is told by the record that the key is taken, and sees nothing of this answer.
    pub fn offered_again(&mut self, ticket: Ticket, offer: &Offer) {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return;
        };
        if offer.ready.request.request_hash != pending.ready.request.request_hash {
            return;
        }
        pending.at = Some(offer.at);
        let reply_to = &offer.ready.request.reply_to;
        if reply_to.is_some() && pending.ready.request.reply_to != *reply_to {
            let request = &mut Arc::make_mut(&mut pending.ready).request;
            Arc::make_mut(request).reply_to.clone_from(reply_to);
        }
        self.changes += 1;
    }

    /// What a snapshot says of earlier attempts.
    pub fn resume(&mut self, ticket: Ticket, attempt: u32, waited_ms: i64, let_off: u32) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            (pending.attempt, pending.waited_ms, pending.let_off) = (attempt, waited_ms, let_off);
        }
    }

    /// A moving request waits again, and from `now` on.
    pub fn waits_since(&mut self, ticket: Ticket, now: TimestampMs) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.since = now;
        }
    }

    /// A moving request is queued.
    pub fn queue(&mut self, ticket: Ticket) {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return;
        };
        pending.phase = Phase::Queued;
        self.waiting[pending.key.flow as usize] += 1;
        self.deadlines.insert((pending.due, ticket));
        self.changes += 1;
    }

    /// A moving request is leased; it is charged its prompt and what it has produced. It must not be charged yet.
    pub fn lease(&mut self, ticket: Ticket, leased: Leased) {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return;
        };
        let prompt = pending.ready.request.prompt_tokens.0;
        pending.charged = Charge::of_run(prompt.into(), leased.tokens.into());
        pending.attempt = leased.lease.attempt;
        pending.waited_ms = leased.queueing.queue_wait_ms;
        let worker = leased.lease.worker.clone();
        self.by_worker.entry(worker).or_default().insert(ticket);
        self.leased.insert(ticket);
        pending.phase = Phase::Leased(Box::new(leased));
        self.changes += 1;
    }

    /// Takes it out of whatever it stands in, which is returned; it is moving.
    pub fn leave(&mut self, ticket: Ticket) -> Option<Phase> {
        let pending = self.pending.get_mut(&ticket)?;
        let left = std::mem::replace(&mut pending.phase, Phase::Moving);
        match &left {
            Phase::Queued => {
                self.waiting[pending.key.flow as usize] -= 1;
                self.deadlines.remove(&(pending.due, ticket));
            }
            Phase::Leased(leased) => {
                self.leased.remove(&ticket);
                let worker = &leased.lease.worker;
                if let Some(tickets) = self.by_worker.get_mut(worker) {
                    tickets.remove(&ticket);
                    if tickets.is_empty() {
                        self.by_worker.remove(worker);
                    }
                }
            }
            Phase::Leaving => {
                self.deadlines.remove(&(pending.due, ticket));
            }
            Phase::Moving | Phase::Ending => {}
        }
        self.changes += 1;
        Some(left)
    }

    /// What a request is charged, once.
    pub fn take_charge(&mut self, ticket: Ticket) -> Charge {
        let pending = self.pending.get_mut(&ticket);
        pending.map_or_else(Charge::default, |it| std::mem::take(&mut it.charged))
    }

    /// The outcome of a moving request is on its way.
    pub fn end(&mut self, ticket: Ticket) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.phase = Phase::Ending;
        }
    }

    /// A moving request is on its way into another pool.
    pub fn hand_over(&mut self, ticket: Ticket) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.phase = Phase::Leaving;
            self.deadlines.insert((pending.due, ticket));
        }
    }

    /// Another pool could not take a request: it ends here.
    pub fn must_stay(&mut self, ticket: Ticket) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.stays = true;
        }
    }

    /// Lets a request go that stands in nothing, and says whose it was.
    pub fn remove(&mut self, ticket: Ticket) -> Option<TenantIx> {
        let pending = self.pending.remove(&ticket)?;
        self.ids.remove(&pending.ready.request.request_id);
        self.longest.remove(&pending.ready);
        self.bodies.remove(pending.key.tenant, pending.bytes);
        Some(pending.key.tenant)
    }

    /// The bus has acknowledged a work record. Only now its worker can be expected to show it.
    pub fn published(&mut self, attempt: &Attempt, now: TimestampMs) {
        if let Some(leased) = self.leased_as(attempt).and_then(|ticket| self.leased_mut(ticket)) {
            leased.published = true;
            leased.seen_at = leased.seen_at.max(now);
        }
    }

    /// A work record of ours was read back; false if this lease is not ours.
    pub fn read_back(&mut self, attempt: &Attempt, epoch: i64) -> bool {
        let leased = self.leased_as(attempt).and_then(|ticket| self.leased_mut(ticket));
        let Some(leased) = leased.filter(|leased| leased.lease.scheduler_epoch == epoch) else {
            return false;
        };
        (leased.published, leased.read_back) = (true, true);
        true
    }

    /// A worker has given back a run; `None` if that is no lease of ours, or its work record is not known to be in the log.
    pub fn given_back(&self, status: &WorkerStatus, returned: &Returned) -> Option<Ticket> {
        let ticket = self.ticket(&returned.request_id)?;
        let leased = self.get(ticket)?.leased()?;
        (leased.read_back && leased.is_on(status, returned.attempt)).then_some(ticket)
    }

    /// The worker of a leased request has read it and does not run it.
    pub fn passed_over(&mut self, ticket: Ticket) {
        if let Some(leased) = self.leased_mut(ticket) {
            leased.passed_over = true;
        }
    }

    /// The run of a leased request failed before it began: nothing was computed, and it counts as no attempt, `most` times.
    pub fn has_not_begun(&mut self, ticket: Ticket, most: u32) {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return;
        };
        if let Some(leased) = pending.leased_mut() {
            leased.doubt = Doubt::Unbegun;
            pending.let_off = (pending.let_off + 1).min(most);
        }
    }

    /// A worker shows a run. What it was charged and what it is charged now; `None` if it is no lease of ours.
    pub fn show(
        &mut self,
        status: &WorkerStatus,
        shown: &InFlight,
        now: TimestampMs,
    ) -> Option<(Ticket, (Charge, Charge))> {
        let ticket = self.ticket(&shown.request_id)?;
        let pending = self.pending.get_mut(&ticket)?;
        let prompt = pending.ready.request.prompt_tokens.0;
        let leased = pending
            .leased_mut()
            .filter(|leased| leased.is_on(status, shown.attempt))?;
        (leased.seen_at, leased.shown) = (now, true);
        if matches!(leased.doubt, Doubt::Folding(_)) {
            leased.doubt = Doubt::None;
        }
        leased.tokens = leased.tokens.max(shown.tokens.0);
        let after = Charge::of_run(prompt.into(), leased.tokens.into());
        let before = std::mem::replace(&mut pending.charged, after);
        Some((ticket, (before, after)))
    }

    /// A leased request does not run again if its worker is lost.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(leased) = self.leased_mut(ticket)
            && !leased.cancelled
        {
            leased.cancelled = true;
            self.changes += 1;
        }
    }

    fn leased_mut(&mut self, ticket: Ticket) -> Option<&mut Leased> {
        self.pending.get_mut(&ticket)?.leased_mut()
    }

    /// The earliest deadline of what is queued or leaving.
    pub fn next_deadline(&self) -> Option<(TimestampMs, Ticket)> {
        self.deadlines.first().copied()
    }

    /// How many are queued in a flow.
    pub fn waiting(&self, flow: Flow) -> usize {
        self.waiting[flow as usize]
    }

    /// How many interactive ones are queued.
    pub fn waiting_interactive(&self) -> usize {
        self.waiting(Flow::Short) + self.waiting(Flow::Long)
    }

    /// How many are queued.
    pub fn queued(&self) -> usize {
        self.waiting.iter().sum()
    }

    /// How many are leased.
    pub fn running(&self) -> usize {
        self.leased.len()
    }

    /// Bytes of all bodies.
    pub fn body_bytes(&self) -> usize {
        self.bodies.all()
    }

    /// Bytes of a tenant's bodies.
    pub fn body_bytes_of(&self, tenant: TenantIx) -> usize {
        self.bodies.of(tenant)
    }

    /// Longest input and longest output allowance of what has not ended, tokens.
    pub fn longest(&self) -> (u64, u64) {
        self.longest.tokens()
    }

    /// How often something changed that a snapshot would show.
    pub fn changes(&self) -> u64 {
        self.changes
    }
}
