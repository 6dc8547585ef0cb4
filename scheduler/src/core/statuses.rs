//! What workers tell: which of our leases they hold, and how far they are.

use relay_schemas::{TimestampMs, WorkerStatus};

use super::Core;
use super::counter::cost;
use super::credits::Heard;
use super::place::Ticket;
use super::request::Doubt;

impl Core {
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
}
