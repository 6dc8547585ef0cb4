//! Leases are granted against credits.

use relay_lifecycle::Ending;
use relay_schemas::{Lease, OutcomeStatus, Queueing, TimestampMs};

use super::effects::{Dispatch, Effect};
use super::moves;
use super::queues::{Flow, QueueKey, Route, Ticket};
use super::requests::{Attempt, Leased};
use super::scheduler::Core;

impl Core {
    /// Grants leases while requests wait that a worker has credit for, at most `dispatch_round` of them; true if there may be more.
    pub fn dispatch(&mut self, now: TimestampMs) -> bool {
        let Some(epoch) = self.recovery.epoch() else {
            return false;
        };
        let mut blocked: Vec<Route> = Vec::new();
        for _ in 0..self.config.dispatch_round {
            let workers = &self.workers;
            if !self.queues.any(|route| workers.can_take(route, now)) {
                return false;
            }
            let picked = self.queues.pick(|route, model| {
                if blocked.contains(route) {
                    return false;
                }
                let begins_with = workers.begins_with(route, now);
                if begins_with.is_none() {
                    blocked.push(route.clone());
                }
                begins_with == Some(model)
            });
            let Some((key, ticket)) = picked else {
                return false;
            };
            self.dispatch_one(&key, ticket, epoch, now);
        }
        true
    }

    /// The process ends: what nobody waits for, and has not begun, is left to whoever leads next.
    pub fn hold_batch(&mut self) {
        self.queues.hold_flow(Flow::Batch);
    }

    fn dispatch_one(&mut self, key: &QueueKey, ticket: Ticket, epoch: i64, now: TimestampMs) {
        let Some(assigned) = self.workers.assign(&key.route, now) else {
            return;
        };
        self.leave(ticket);
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let at = self.timeline.now_for(pending.ready.request.accepted_at, now);
        let lease = Lease {
            worker: assigned.worker,
            worker_epoch: assigned.epoch,
            attempt: pending.attempt + 1,
            scheduler_epoch: epoch,
            granted_at: at,
        };
        let queueing = Queueing {
            pool: self.pool.clone(),
            lane: key.route.lane,
            queued_at: pending.queued_at,
            dispatched_at: at,
            queue_wait_ms: pending.waited_ms + now.since_ms(pending.since).max(0),
            waiting_ahead: pending.waiting_ahead,
        };
        let leased = Leased::granted(lease, queueing, now).in_partition(assigned.partition);
        let dispatch = Dispatch {
            work: pending.work(&leased),
            lane: key.route.lane,
            partition: assigned.partition,
            ready_at: pending.at,
            trace: pending.trace.clone(),
        };
        self.tally.retried += u64::from(pending.attempt > 0);
        let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
        moves::lease(requests, queues, workers, ticket, leased);
        self.queues.served(key.tenant, key.flow);
        self.rate.count(now);
        self.effects.push(Effect::Dispatch(Box::new(dispatch)));
    }

    /// The bus has acknowledged a work record. Only now its worker can be expected to show it.
    pub fn dispatched(&mut self, attempt: &Attempt, now: TimestampMs) {
        self.requests.published(attempt, now);
    }

    /// The bus refuses the work record for good (it is too large): the request ends.
    pub fn undispatchable(&mut self, attempt: &Attempt, reason: &str, now: TimestampMs) {
        if let Some(ticket) = self.requests.leased_as(attempt) {
            let ending = Ending::because(OutcomeStatus::Failed, "dead_letter", reason);
            self.end(ticket, ending, now);
        }
    }
}
