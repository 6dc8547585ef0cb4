//! Records of `outcomes`: a request has ended, and its tenant is charged.

use relay_schemas::{Outcome, Service};

use super::counter::cost;
use super::place::Ticket;
use super::request::{At, flow};
use super::snapshot::Expected;
use super::{Core, Input};

impl Core {
    /// A request has ended, by whomever. The first outcome in partition order wins; others change nothing.
    pub fn outcome(&mut self, outcome: &Outcome, at: At) {
        let id = &outcome.request_id;
        let new = self.offsets.fold(Input::Outcomes, at);
        let first = self.ended.insert(id, ());
        let ticket = self.ids.remove(id);
        if !new {
            // Offered again since then: its end lies before the snapshot and was charged there.
            if let Some(ticket) = ticket {
                self.leave(ticket);
                self.drop_body(ticket);
                self.counts.duplicates += 1;
            }
            return;
        }
        if outcome.run.service == Service::Workers {
            self.workers.ended(&outcome.run.instance, id);
        }
        if !first && ticket.is_none() {
            self.counts.superseded += 1;
            return;
        }
        let settled = ticket.is_some_and(|ticket| self.forget(ticket, outcome));
        self.charge(outcome, settled);
        // A snapshot must not hand its lease on once this outcome is too old to be read again.
        let ended =
            |expected: &Expected| matches!(expected, Expected::Leased(entry) if entry.request_id == *id);
        self.expected.retain(|_, expected| !ended(expected));
    }

    /// Lets a held request go; true if it was leased, for then its tenant's counters are settled.
    fn forget(&mut self, ticket: Ticket, outcome: &Outcome) -> bool {
        let was_leased = self.held.get(&ticket).is_some_and(|held| held.leased().is_some());
        if was_leased {
            self.release(ticket, Some(cost_of(outcome)));
            self.counts.changes += 1;
        } else {
            self.leave(ticket);
        }
        self.drop_body(ticket);
        was_leased
    }

    fn drop_body(&mut self, ticket: Ticket) {
        let dropped = self.held.remove(&ticket);
        let bytes = dropped.map_or(0, |held| held.bytes);
        self.counts.body_bytes = self.counts.body_bytes.saturating_sub(bytes);
    }

    /// Charges what a winner used by what it says itself: its request may not be held, as its offer or its lease may not be
    /// read yet (a leader whose memory is full reads `ready` no further), and no other record will ever charge it.
    fn charge(&mut self, outcome: &Outcome, settled: bool) {
        let Outcome {
            queueing,
            request,
            usage,
            ..
        } = outcome;
        let (Some(queueing), Some(request)) = (queueing, request) else {
            return;
        };
        if outcome.lease.is_none() || queueing.pool != self.pool {
            return;
        }
        let (prompt, completion) = (usage.prompt_tokens.0.into(), usage.completion_tokens.0.into());
        let ix = self.queues.tenant(&outcome.tenant);
        self.queues.book(ix, prompt, completion);
        self.counts.prompt_tokens += prompt;
        self.counts.completion_tokens += completion;
        if !settled {
            self.counts.changes += 1;
            let flow = flow(request.class, queueing.lane);
            self.queues.settle(ix, flow, 0, cost_of(outcome));
        }
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
