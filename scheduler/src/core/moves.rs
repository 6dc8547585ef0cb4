//! A request moves between the queues and the workers.
//!
//! Invariant across the parts: a queued request stands in exactly the queue that its key names. A leased one is counted once at its
//! worker; its tenant and its flow are charged what it says itself, until that is settled: when its run has failed, or its outcome is
//! read. A tenant knows how many requests it has here.

use relay_lifecycle::next_pool;

use super::queues::{Arrival, Charge, QueueKey, Queues, Ticket};
use super::requests::{Arrived, Leased, Phase, Requests, flow, lane, route};
use super::workers::Workers;

/// Takes a request of `pool` in; it is moving.
pub(super) fn insert(requests: &mut Requests, queues: &mut Queues, arrived: Arrived, pool: &str) -> Ticket {
    let ready = &arrived.ready;
    let key = QueueKey {
        tenant: queues.tenant(&ready.request.tenant),
        flow: flow(ready.request.class, lane(ready)),
        route: route(ready, pool),
    };
    let stays = next_pool(&ready.planning.plan, pool).is_none();
    queues.hold(key.tenant, true);
    requests.insert(arrived, key, stays)
}

/// Lets a request go that stands in nothing.
pub(super) fn remove(requests: &mut Requests, queues: &mut Queues, ticket: Ticket) {
    if let Some(tenant) = requests.remove(ticket) {
        queues.hold(tenant, false);
    }
}

/// Puts a moving request into its queue. `open`: a live worker takes its route.
pub(super) fn queue(
    requests: &mut Requests,
    queues: &mut Queues,
    ticket: Ticket,
    arrival: Arrival,
    open: bool,
) {
    requests.queue(ticket);
    if let Some(pending) = requests.get(ticket) {
        queues.push(&pending.key, ticket, arrival, open);
    }
}

/// Leases a moving request.
pub(super) fn lease(
    requests: &mut Requests,
    queues: &mut Queues,
    workers: &mut Workers,
    ticket: Ticket,
    leased: Leased,
) {
    requests.lease(ticket, leased);
    let Some(pending) = requests.get(ticket) else {
        return;
    };
    let Some(leased) = pending.leased() else { return };
    let (lease, key) = (&leased.lease, &pending.key);
    let id = &pending.ready.request.request_id;
    workers.lease(&lease.worker, lease.worker_epoch, &key.route, id);
    queues.recharge(key.tenant, key.flow, (Charge::default(), pending.charged));
}

/// Takes a request out of whatever it stands in; it is moving, and charged as before.
pub(super) fn leave(
    requests: &mut Requests,
    queues: &mut Queues,
    workers: &mut Workers,
    ticket: Ticket,
) -> Option<Phase> {
    let left = requests.leave(ticket)?;
    let key = &requests.get(ticket)?.key;
    match &left {
        Phase::Queued => queues.remove(key, ticket),
        Phase::Leased(leased) => {
            let lease = &leased.lease;
            workers.release(&lease.worker, lease.worker_epoch, &key.route);
        }
        Phase::Moving | Phase::Leaving | Phase::Ending => {}
    }
    Some(left)
}

/// Turns what a request is charged into the `actual` cost of its run, for good; false if it is charged nothing.
pub(super) fn settle(
    requests: &mut Requests,
    queues: &mut Queues,
    ticket: Ticket,
    actual: impl FnOnce(Charge) -> u64,
) -> bool {
    let charged = requests.take_charge(ticket);
    let pending = requests.get(ticket).filter(|_| charged != Charge::default());
    let Some(pending) = pending else { return false };
    let key = &pending.key;
    queues.settle(key.tenant, key.flow, charged, actual(charged));
    true
}
