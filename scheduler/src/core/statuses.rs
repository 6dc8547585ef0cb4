//! What workers tell: which of our leases they hold, and how far they are.

use std::collections::HashSet;

use relay_schemas::{InFlight, TimestampMs, WorkerStatus};

use super::queues::Queues;
use super::requests::{Pending, Phase, Requests};
use super::scheduler::Core;
use super::workers::{Update, Workers};

impl Core {
    /// A worker tells what it is and holds.
    pub fn status(&mut self, status: &WorkerStatus, now: TimestampMs) {
        if status.pool != self.pool || self.workers.update(status, now) == Update::Stale {
            return;
        }
        self.look_over_service(now);
        let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
        let shown = status.in_flight.iter();
        let foreign: HashSet<_> = shown
            .filter(|shown| !show(requests, queues, workers, status, shown, now))
            .map(|shown| shown.request_id.clone())
            .collect();
        let leased = self.requests.leased_to(&status.worker);
        for ticket in &leased {
            let pending = self.requests.get(*ticket);
            let epoch = pending.and_then(Pending::leased).map(|it| it.lease.worker_epoch);
            if epoch.is_some_and(|epoch| epoch < status.epoch) {
                self.doubt(*ticket);
            }
        }
        let leased = leased.into_iter().filter_map(|ticket| {
            let pending = self.requests.get(ticket)?;
            (pending.leased()?.lease.worker_epoch == status.epoch).then_some(&pending.key.route)
        });
        self.workers.reconcile(&status.worker, leased, foreign);
        for returned in &status.returned {
            if let Some(ticket) = self.requests.given_back(status, returned) {
                self.given_back(ticket, &status.worker, returned, now);
            }
        }
        self.effects.settle_doubts();
    }
}

/// Notes that a worker shows a run, and charges what it has produced; false if it is no lease of ours.
fn show(
    requests: &mut Requests,
    queues: &mut Queues,
    workers: &mut Workers,
    status: &WorkerStatus,
    shown: &InFlight,
    now: TimestampMs,
) -> bool {
    let Some((ticket, (before, after))) = requests.show(status, shown, now) else {
        return false;
    };
    let Some(Pending { key, phase, .. }) = requests.get(ticket) else {
        return true;
    };
    if let Phase::Leased(leased) = phase {
        workers.reads(&status.worker, &key.route, leased.since);
        // It has told a token, so it has begun; an answer may take minutes to its end.
        if before != after {
            workers.works(&status.worker, &key.route, leased.since);
        }
    }
    if before != after {
        queues.recharge(key.tenant, key.flow, (before, after));
    }
    true
}
