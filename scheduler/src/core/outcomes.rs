//! Records of `outcomes`: a request has ended, and its tenant is charged.

use relay_schemas::{Outcome, OutcomeStatus, Service};

use super::moves;
use super::queues::{Charge, Queues, cost};
use super::recovery::{At, Input};
use super::requests::flow;
use super::scheduler::Core;

impl Core {
    /// A request has ended, by whomever. The first outcome in partition order wins; others change nothing.
    pub fn outcome(&mut self, outcome: &Outcome, at: At) {
        let id = &outcome.request_id;
        let new = self.recovery.fold(Input::Outcomes, at);
        let first = self.ended.insert(id, ());
        let ticket = self.requests.ticket(id);
        // Where it was offered again since then, its end lies before the snapshot and was charged there.
        let due = if new { cost_here(outcome, &self.pool) } else { None };
        let mut settled = false;
        if let Some(ticket) = ticket {
            let (requests, queues, workers) = (&mut self.requests, &mut self.queues, &mut self.workers);
            if outcome.status == OutcomeStatus::Completed
                && let Some(pending) = requests.get(ticket)
                && let Some(leased) = pending.leased()
                && leased.lease.worker == outcome.run.instance
            {
                workers.works(&leased.lease.worker, &pending.key.route, leased.since);
            }
            moves::leave(requests, queues, workers, ticket);
            // A run that has failed is charged what it has computed, whatever it says itself.
            let actual = |run: Charge| if new { due.unwrap_or(0).max(run.shown) } else { 0 };
            settled = moves::settle(requests, queues, ticket, actual);
            moves::remove(requests, queues, ticket);
        }
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
        if let Some(due) = due {
            charge(&mut self.queues, outcome, due, settled);
        }
        self.recovery.forget_lease_of(id);
    }
}

/// Charges what a winner used by what it says itself: its request may not be pending, as its offer or its lease may not be
/// read yet (a leader whose memory is full reads `ready` no further), and no other record will ever charge it.
fn charge(queues: &mut Queues, outcome: &Outcome, due: u64, settled: bool) {
    let Outcome {
        queueing,
        request,
        usage,
        ..
    } = outcome;
    let (Some(queueing), Some(request)) = (queueing, request) else {
        return;
    };
    let tenant = queues.tenant(&outcome.tenant);
    queues.book(
        tenant,
        usage.prompt_tokens.0.into(),
        usage.completion_tokens.0.into(),
    );
    if !settled {
        queues.charge(tenant, flow(request.class, queueing.lane), due);
    }
}

/// What a run in `pool` cost; `None` where there was none.
fn cost_here(outcome: &Outcome, pool: &str) -> Option<u64> {
    let queueing = outcome.queueing.as_ref();
    queueing.filter(|queueing| queueing.pool == pool && outcome.lease.is_some())?;
    let usage = outcome.usage;
    Some(cost(
        usage.prompt_tokens.0.into(),
        usage.completion_tokens.0.into(),
    ))
}
