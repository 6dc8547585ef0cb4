//! What waits for models that no live worker of this pool runs: it waits for a while, as a worker may be starting, then goes on
//! in another pool, or ends and says which model is not there.

use relay_clock::millis;
use relay_lifecycle::{Ending, Reason};
use relay_schemas::{Class, OutcomeStatus, TimestampMs};

use super::queues::Ticket;
use super::requests::Pending;
use super::scheduler::Core;
use crate::config::Leases;

/// Most requests that leave at one look, so that neither the other pool nor the log is flooded at once.
const MOST: usize = 512;

/// How long a request waits for a worker of its models, milliseconds.
fn grace_ms(pending: &Pending, leases: &Leases) -> i64 {
    millis(match pending.ready.request.class {
        _ if !pending.stays => leases.hand_over_after,
        Class::Interactive => leases.unserved_grace,
        Class::Batch => leases.batch_unserved_grace,
    })
}

impl Core {
    /// The control seam works. Workers that are silent over it for the whole grace are away.
    pub fn seam_works(&mut self, now: TimestampMs) {
        self.seam_works_since.get_or_insert(now);
    }

    /// The control seam does not work: it makes every worker silent, and nothing follows from that.
    pub fn seam_fails(&mut self) {
        self.seam_works_since = None;
    }

    /// Lets go what has waited for too long for workers that have been away as long.
    pub(super) fn look_over_unserved(&mut self, now: TimestampMs) {
        let Some(seam_works_since) = self.seam_works_since else {
            return;
        };
        let seam_ms = now.since_ms(seam_works_since);
        let (queues, workers) = (&self.queues, &self.workers);
        // Whoever has another pool to go to goes there while a model loads; whoever has none waits for it.
        let away = |route| [workers.unserved_ms(route, now), workers.unawaited_ms(route, now)];
        let routes = queues
            .routes()
            .map(|route| (route, away(route).map(|ms| ms.min(seam_ms))));
        let unserved = routes.filter(|(_, [unserved_ms, _])| *unserved_ms > 0);
        let waiting = unserved.flat_map(|(route, away_ms)| {
            let waiting = queues.waiting_on(route).into_iter();
            waiting.map(move |ticket| (ticket, away_ms))
        });
        let waiting: Vec<(Ticket, [i64; 2])> = waiting.collect();
        let mut leaving = Vec::new();
        for (ticket, [unserved_ms, unawaited_ms]) in waiting {
            let Some(pending) = self.requests.get(ticket) else {
                continue;
            };
            let grace_ms = grace_ms(pending, &self.config.leases);
            let away_ms = if pending.stays { unawaited_ms } else { unserved_ms };
            if away_ms.min(now.since_ms(pending.since)) >= grace_ms && leaving.len() < MOST {
                leaving.push((ticket, grace_ms));
            }
        }
        for (ticket, grace_ms) in leaving {
            self.give_up_waiting(ticket, grace_ms, now);
        }
    }

    fn give_up_waiting(&mut self, ticket: Ticket, grace_ms: i64, now: TimestampMs) {
        let Some(pending) = self.requests.get(ticket) else {
            return;
        };
        let (pool, model) = (&self.pool, &pending.ready.request.model);
        let message = format!("no worker of pool `{pool}` has run model `{model}` for {grace_ms} ms");
        if !pending.stays {
            let code = "no_worker".to_owned();
            return self.hand_over(ticket, Reason { code, message }, now);
        }
        let message = format!("{message}; ask again later, or for another model");
        let mut ending = Ending::because(OutcomeStatus::Rejected, "no_worker", message);
        ending.retry_after_ms = Some(millis(self.config.leases.unserved_grace));
        self.end(ticket, ending, now);
    }
}
