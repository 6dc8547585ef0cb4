//! Leases: granted against credits, released when their request ends or is taken back.

use relay_schemas::{Lease, Queueing, RequestId, TimestampMs};

use super::counter::cost;
use super::place::{Place, Route, Ticket};
use super::request::{Doubt, Held, Leased, State};
use super::{Attempt, Core, Dispatch, Effect};

impl Leased {
    /// A lease that was read from the log.
    pub(super) fn read(lease: Lease, queueing: Queueing, now: TimestampMs) -> Self {
        Self {
            lease,
            queueing,
            seen_at: now,
            tokens: 0,
            charged: 0,
            published: true,
            read_back: true,
            doubt: Doubt::None,
            cancelled: false,
        }
    }
}

impl Core {
    /// Grants leases while requests wait that a worker has credit for, at most `dispatch_round` of them; true if there may be more.
    pub fn dispatch(&mut self, now: TimestampMs) -> bool {
        if !self.leading {
            return false;
        }
        let fresh_ms = self.config.fresh_ms as i64;
        let mut blocked: Vec<Route> = Vec::new();
        for _ in 0..self.config.dispatch_round {
            let workers = &self.workers;
            if !self.queues.any(|route| workers.has_seat(route, now, fresh_ms)) {
                return false;
            }
            let picked = self.queues.pick(|route| {
                let open = !blocked.contains(route) && workers.has_seat(route, now, fresh_ms);
                if !open && !blocked.contains(route) {
                    blocked.push(route.clone());
                }
                open
            });
            let Some((place, ticket)) = picked else {
                return false;
            };
            self.dispatch_one(&place, ticket, now);
        }
        true
    }

    fn dispatch_one(&mut self, place: &Place, ticket: Ticket, now: TimestampMs) {
        let fresh_ms = self.config.fresh_ms as i64;
        let Some(seat) = self.workers.seat(&place.route, now, fresh_ms) else {
            return;
        };
        self.leave(ticket);
        let epoch = self.epoch;
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let waited_ms = held.waited_ms + now.since_ms(held.since).max(0);
        let lease = Lease {
            worker: seat.worker,
            worker_epoch: seat.epoch,
            attempt: held.attempt + 1,
            scheduler_epoch: epoch,
            granted_at: now,
        };
        let queueing = Queueing {
            pool: self.pool.clone(),
            lane: place.route.lane,
            queued_at: held.queued_at,
            dispatched_at: now,
            queue_wait_ms: waited_ms,
            waiting_ahead: held.waiting_ahead,
        };
        let mut leased = Leased::read(lease, queueing, now);
        leased.published = false;
        leased.read_back = false;
        let dispatch = Dispatch {
            work: held.work(&leased),
            lane: place.route.lane,
            partition: seat.partition,
            ready_at: held.at,
            trace: held.trace.clone(),
        };
        self.counts.retried += u64::from(held.attempt > 0);
        self.grant(ticket, leased);
        self.queues.served(place.tenant, place.flow);
        self.rate.count(now);
        self.effects.push(Effect::Dispatch(Box::new(dispatch)));
    }

    /// Makes a held request leased. It must stand in nothing.
    pub(super) fn grant(&mut self, ticket: Ticket, mut leased: Leased) {
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let prompt = u64::from(held.ready.request.prompt_tokens.0);
        leased.charged = cost(prompt, leased.tokens.into());
        let (worker, epoch, charged) = (
            leased.lease.worker.clone(),
            leased.lease.worker_epoch,
            leased.charged,
        );
        held.attempt = leased.lease.attempt;
        held.waited_ms = leased.queueing.queue_wait_ms;
        held.state = State::Leased(Box::new(leased));
        let place = held.place.clone();
        self.workers
            .lease(&worker, epoch, place.route.lane, &held.ready.request.request_id);
        self.by_worker.entry(worker).or_default().insert(ticket);
        self.leased.insert(ticket);
        self.queues.running(place.tenant, true);
        self.queues.hold(place.tenant, place.flow, 0, charged);
        self.counts.running += 1;
        self.counts.changes += 1;
    }

    /// Takes a lease back from the tables. What it was charged becomes `actual`, or is given back as prepaid.
    pub(super) fn release(&mut self, ticket: Ticket, actual: Option<u64>) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        let Some(leased) = held.leased() else { return };
        let place = held.place.clone();
        let (worker, epoch) = (leased.lease.worker.clone(), leased.lease.worker_epoch);
        self.queues
            .settle(place.tenant, place.flow, leased.charged, actual.unwrap_or(0));
        self.workers.release(&worker, epoch, place.route.lane);
        if let Some(tickets) = self.by_worker.get_mut(&worker) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_worker.remove(&worker);
            }
        }
        self.leased.remove(&ticket);
        self.queues.running(place.tenant, false);
        self.counts.running = self.counts.running.saturating_sub(1);
    }

    /// The bus has acknowledged a work record. Only now its worker can be expected to show it.
    pub fn dispatched(&mut self, attempt: &Attempt, now: TimestampMs) {
        if let Some(leased) = self.leased_as(attempt) {
            leased.published = true;
            leased.seen_at = leased.seen_at.max(now);
        }
    }

    /// The bus refuses the work record for good (it is too large): the request ends.
    pub fn undispatchable(&mut self, attempt: &Attempt, reason: &str, now: TimestampMs) {
        if self.leased_as(attempt).is_none() {
            return;
        }
        if let Some(ticket) = self.ids.get(&attempt.request_id).copied() {
            let status = relay_schemas::OutcomeStatus::Failed;
            self.end(
                ticket,
                relay_lifecycle::Ending::because(status, "dead_letter", reason),
                now,
            );
        }
    }

    /// The lease of this very attempt.
    pub(super) fn leased_as(&mut self, attempt: &Attempt) -> Option<&mut Leased> {
        let ticket = self.ids.get(&attempt.request_id)?;
        let leased = self.held.get_mut(ticket).and_then(Held::leased_mut)?;
        (leased.lease.attempt == attempt.attempt).then_some(leased)
    }

    /// Whether `id` is leased, and under which attempt.
    pub fn lease_of(&self, id: &RequestId) -> Option<&Lease> {
        let held = self.held.get(self.ids.get(id)?)?;
        held.leased().map(|leased| &leased.lease)
    }
}
