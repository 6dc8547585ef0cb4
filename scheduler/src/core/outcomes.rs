//! Records of `outcomes`: a request has ended, and its tenant is charged.

use relay_schemas::{Outcome, Service};

use super::moves;
use super::queues::{Queues, cost};
use super::recovery::{At, Input};
use super::requests::{Phase, flow};
use super::scheduler::Core;

impl Core {
    /// A request has ended, by whomever. The first outcome in partition order wins; others change nothing.
    pub fn outcome(&mut self, outcome: &Outcome, at: At) {
        let id = &outcome.request_id;
        let new = self.recovery.fold(Input::Outcomes, at);
        let first = self.ended.insert(id, ());
        let ticket = self.requests.ticket(id);
        // Where it was offered again since then, its end lies before the snapshot and was charged there.
        let actual = if new { cost_of(outcome) } else { 0 };
        let left = ticket.and_then(|ticket| {
            let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
            let left = moves::leave(requests, queues, workers, ticket, actual);
            requests.remove(ticket);
            left
        });
        if !new {
            self.tally.duplicates += u64::from(ticket.is_some());
            return;
        }
        if outcome.run.service == Service::Workers {
            self.workers.ended(&outcome.run.instance, id);
        }
        if !first && ticket.is_none() {
            self.tally.superseded += 1;
            return;
        }
        let settled = matches!(left, Some(Phase::Leased(_)));
        charge(&mut self.queues, outcome, &self.pool, settled);
        self.recovery.forget_lease_of(id);
    }
}

/// Charges what a winner used by what it says itself: its request may not be pending, as its offer or its lease may not be
/// read yet (a leader whose memory is full reads `ready` no further), and no other record will ever charge it.
fn charge(queues: &mut Queues, outcome: &Outcome, pool: &str, settled: bool) {
    let Outcome {
        queueing,
        request,
        usage,
        ..
    } = outcome;
    let (Some(queueing), Some(request)) = (queueing, request) else {
        return;
    };
    if outcome.lease.is_none() || queueing.pool != pool {
        return;
    }
    let tenant = queues.tenant(&outcome.tenant);
    queues.book(
        tenant,
        usage.prompt_tokens.0.into(),
        usage.completion_tokens.0.into(),
    );
    if !settled {
        let flow = flow(request.class, queueing.lane);
        queues.charge(tenant, flow, cost_of(outcome));
    }
}

/// What a run is charged; what ended without one costs nothing.
fn cost_of(outcome: &Outcome) -> u64 {
    let usage = outcome.usage;
    let ran = outcome.lease.as_ref();
    ran.map_or(0, |_| {
        cost(usage.prompt_tokens.0.into(), usage.completion_tokens.0.into())
    })
}
