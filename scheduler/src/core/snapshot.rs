//! What is pending, as a snapshot; and back.
//!
//! A snapshot says only what follows from the log up to its offsets: work that was not read back yet still waits, a
//! request whose outcome was not read back is still there. So whoever folds the rest of the log knows the truth.

use relay_lifecycle::{Ending, Known};
use relay_runner::RECORD_DAMAGED;
use relay_schemas::{
    LeaseEntry, OutcomeStatus, RequestId, RequeuedPosition, SchedulerSnapshot, TimestampMs, TokenCount,
};

use super::queues::{Queues, Tenant};
use super::recovery::{At, Ends, Expected, Input, Offsets, Orphan, Recovery, WaitingSteps};
use super::requests::{Leased, Pending, Requests};
use super::scheduler::Core;

impl Core {
    /// What is pending, as far as the log says it.
    pub fn snapshot(&self) -> SchedulerSnapshot {
        write(&self.requests, &self.recovery, &self.queues, &self.pool)
    }

    /// Takes a snapshot in. What waits or runs comes to life when its `ready` record is offered again.
    pub fn restore(&mut self, snapshot: &SchedulerSnapshot) {
        self.recovery.restore(snapshot, &self.pool);
        self.queues.restore(snapshot);
    }

    /// Notes a record that could not be read: it is folded and changes nothing. On `ready` its request waits no longer; true if
    /// that was leased, and is ended by what is known of its lease.
    pub fn skip(&mut self, input: Input, at: At) -> bool {
        if input == Input::Ready {
            return self.recovery.damaged(at);
        }
        self.recovery.fold(input, at);
        false
    }

    /// How far the inputs are folded.
    pub fn offsets(&self) -> &Offsets {
        self.recovery.offsets()
    }

    /// The next record of `ready` lies at `at`. Whether it matters: it is new, or a snapshot expects it.
    pub fn wants(&mut self, at: At) -> bool {
        self.recovery.reads(at);
        self.recovery.wants(at)
    }

    /// Whether a request is held, or is known to have ended.
    pub fn knows(&self, id: &RequestId) -> bool {
        self.requests.ticket(id).is_some() || self.ended.get(id).is_some()
    }

    /// What must still be folded before this instance may lead: one partition, and from where on.
    pub fn lacks(&self, ends: &Ends) -> Option<(Input, At)> {
        self.recovery.lacks(ends, self.is_full())
    }

    /// Whether everything offered and dispatched before the election is folded. Offers that do not fit into memory do not count.
    pub fn has_folded_work(&self, ends: &Ends) -> bool {
        self.recovery.has_folded_work(ends, self.is_full())
    }

    /// Leases whose requests no record will bring: nothing can run them again, so they end, unless they have ended.
    pub(super) fn end_orphans(&mut self, now: TimestampMs) {
        for orphan in self.recovery.take_orphans() {
            let (code, message) = match orphan {
                Orphan::Gone(_) => ("worker_lost", "the log no longer holds its request"),
                Orphan::Damaged(_) => (RECORD_DAMAGED, "the log has damaged its request"),
            };
            let entry = orphan.entry();
            if self.knows(&entry.request_id) {
                continue;
            }
            let ending = Ending::because(OutcomeStatus::Failed, code, message);
            let known = Known::Headers(&entry.request_id, &entry.tenant);
            let at = self.timeline.wall(now);
            self.effects.end(known, entry.lease.attempt, ending, None, at);
        }
    }
}

fn write(requests: &Requests, recovery: &Recovery, queues: &Queues, pool: &str) -> SchedulerSnapshot {
    let mut waiting = WaitingSteps::default();
    let mut requeued = Vec::new();
    let mut running = Vec::new();
    for (_, pending) in requests.iter() {
        match (pending.leased().filter(|leased| leased.read_back), pending.at) {
            (Some(leased), at) => running.push(entry(pending, leased, at)),
            (None, Some(at)) => match pending.attempts_in_log() {
                0 => waiting.add(at),
                attempt => requeued.push(requeued_at(at, attempt, pending.waited_ms, pending.let_off)),
            },
            // Known only from a work record that has since been taken back: its worker's log still holds the body.
            (None, None) => {}
        }
    }
    // What a predecessor's snapshot gave and memory had no room for yet is as much pending as the rest.
    for (at, expected) in recovery.expected() {
        match expected {
            Expected::Leased(entry) => running.push((**entry).clone()),
            Expected::Waiting { attempt: 0, .. } => waiting.add(at),
            Expected::Waiting {
                attempt,
                waited_ms,
                let_off,
            } => {
                requeued.push(requeued_at(at, *attempt, *waited_ms, *let_off));
            }
        }
    }
    let (prompt_tokens, completion_tokens) = queues.settled();
    SchedulerSnapshot {
        folded: recovery.folded(pool),
        waiting: waiting.into_positions(),
        requeued,
        leases: running,
        tenants: queues.tenants().map(Tenant::to_snapshot).collect(),
        last_left: queues.floor() as i64,
        prompt_tokens: prompt_tokens as i64,
        completion_tokens: completion_tokens as i64,
        floors: queues.floors(),
    }
}

fn requeued_at(At { partition, offset }: At, attempt: u32, waited_ms: i64, let_off: u32) -> RequeuedPosition {
    RequeuedPosition {
        partition,
        offset,
        attempt,
        waited_ms,
        let_off,
    }
}

fn entry(pending: &Pending, leased: &Leased, at: Option<At>) -> LeaseEntry {
    LeaseEntry {
        request_id: pending.ready.request.request_id.clone(),
        tenant: pending.ready.request.tenant.clone(),
        ready_partition: at.map(|at| at.partition),
        ready_offset: at.map(|at| at.offset),
        queueing: leased.queueing.clone(),
        lease: leased.lease.clone(),
        tokens: TokenCount(leased.tokens),
        cancelled: leased.cancelled,
        let_off: pending.let_off,
    }
}
