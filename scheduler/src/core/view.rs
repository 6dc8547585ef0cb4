//! What can be seen of the core from outside.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use relay_schemas::{BatchShare, Class, Lease, PoolStatus, RequestId, TenantId, TimestampMs};

use super::counts::Counts;
use super::queues::{Flow, MILLI, Tenant, W_IN, W_OUT};
use super::requests::{Pending, Phase};
use super::scheduler::Core;

/// Most tenants whose batch requests a status tells; the others have fewer than these.
const MOST_SHARES: usize = 1_000;

impl Core {
    /// What there is and what was done.
    pub fn counts(&self) -> Counts {
        let (requests, tally) = (&self.requests, self.tally);
        let (prompt_tokens, completion_tokens) = self.queues.settled();
        Counts {
            waiting_short: requests.waiting(Flow::Short),
            waiting_long: requests.waiting(Flow::Long),
            waiting_batch: requests.waiting(Flow::Batch),
            running: requests.running(),
            body_bytes: requests.body_bytes(),
            duplicates: tally.duplicates,
            superseded: tally.superseded,
            revoked: tally.revoked,
            retried: tally.retried,
            handed_over: tally.handed_over,
            changes: requests.changes() + self.queues.charges(),
            prompt_tokens,
            completion_tokens,
        }
    }

    /// Whether bodies fill the memory they may; then `ready` is not read on.
    pub fn is_full(&self) -> bool {
        self.requests.body_bytes() >= self.config.limits.max_bodies.as_usize()
    }

    /// How many tenants wait.
    pub fn tenants_waiting(&self) -> usize {
        self.queues.tenants_waiting()
    }

    /// Tokens settled for `tenant`, ever: input and output.
    pub fn tenant_tokens(&self, tenant: &TenantId) -> (u64, u64) {
        let found = self.queues.tenants().find(|known| known.id() == tenant);
        found.map_or((0, 0), Tenant::settled)
    }

    /// Each tenant's counter, thousandths of a weighted token.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let tenants = self.queues.tenants();
        tenants
            .map(|tenant| (tenant.id().as_str().to_owned(), tenant.value()))
            .collect()
    }

    /// Whether `id` waits or is leased: nothing has decided its end here.
    pub fn is_open(&self, id: &RequestId) -> bool {
        let pending = self.requests.find(id);
        pending.is_some_and(|pending| !matches!(pending.phase, Phase::Leaving | Phase::Ending))
    }

    /// Whether `id` is leased, and under which attempt.
    pub fn lease_of(&self, id: &RequestId) -> Option<&Lease> {
        let leased = self.requests.find(id).and_then(Pending::leased)?;
        Some(&leased.lease)
    }

    /// Between tenants that wait: the greatest counter less the least, and the bound on twice that (weighted tokens).
    pub fn fairness(&self) -> (u64, u64) {
        let (prompt, output) = self.requests.longest();
        let in_flight = self.workers.slots() * (prompt + output);
        let bound = 2 * (W_IN * prompt).max(W_OUT * in_flight);
        (self.queues.gap() / MILLI, bound)
    }

    /// What this pool's scheduler tells.
    pub fn pool_status(&self, now: TimestampMs) -> PoolStatus {
        let mut batch_tenants = self.batch_shares();
        let batch_bytes = batch_tenants.iter().map(|share| share.bytes).sum();
        batch_tenants.sort_by_key(|share| Reverse((share.waiting, share.bytes)));
        batch_tenants.truncate(MOST_SHARES);
        PoolStatus {
            pool: self.pool.clone(),
            scheduler: self.effects.instance().clone(),
            epoch: self.recovery.epoch().unwrap_or(-1),
            waiting_interactive: self.requests.waiting_interactive() as u32,
            waiting_batch: self.requests.waiting(Flow::Batch) as u32,
            batch_bytes,
            batch_tenants,
            running: self.requests.running() as u32,
            sent_at: self.timeline.wall(now),
        }
    }

    /// What is held of each tenant's batch requests.
    fn batch_shares(&self) -> Vec<BatchShare> {
        let mut shares = BTreeMap::new();
        for (_, pending) in self.requests.iter() {
            let request = &pending.ready.request;
            if request.class != Class::Batch {
                continue;
            }
            let (waiting, bytes) = shares.entry(&request.tenant).or_insert((0, 0));
            *waiting += u32::from(matches!(pending.phase, Phase::Queued));
            *bytes += pending.bytes as i64;
        }
        let share = |(tenant, (waiting, bytes)): (&TenantId, (u32, i64))| BatchShare {
            tenant: tenant.clone(),
            waiting,
            bytes,
        };
        shares.into_iter().map(share).collect()
    }
}
