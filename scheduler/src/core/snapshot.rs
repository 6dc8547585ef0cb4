//! What is held, as a snapshot; and back.
//!
//! A snapshot says only what follows from the log up to its offsets: work that was not read back yet still waits, a
//! request whose outcome was not read back is still there. So whoever folds the rest of the log knows the truth.

use std::collections::BTreeMap;

use relay_bus::topics;
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    FoldedOffset, LeaseEntry, OutcomeStatus, RequeuedPosition, Run, SchedulerSnapshot, TenantCounter,
    TimestampMs, TokenCount, WaitingPositions,
};

use super::place::Ticket;
use super::request::{At, Held, Leased};
use super::tenant::{Restored, Tenant};
use super::{Core, Effect, Input};

/// What a position in `ready` is expected to be, by a snapshot.
#[derive(Debug)]
pub enum Expected {
    /// It waits.
    Waiting {
        /// Attempts so far.
        attempt: u32,
        /// Time waited over them, milliseconds.
        waited_ms: i64,
    },
    /// It is leased.
    Leased(Box<LeaseEntry>),
}

impl Input {
    /// Its topic.
    pub fn topic(self, pool: &str) -> String {
        match self {
            Self::Ready => topics::ready(pool),
            Self::WorkShort => topics::work_short(pool),
            Self::WorkLong => topics::work_long(pool),
            Self::Outcomes => topics::OUTCOMES.to_owned(),
        }
    }

    /// All inputs.
    pub const ALL: [Self; 4] = [Self::Ready, Self::WorkShort, Self::WorkLong, Self::Outcomes];
}

impl Core {
    /// What is held, as far as the log says it.
    pub fn snapshot(&self) -> SchedulerSnapshot {
        let mut waiting: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        let mut again = Vec::new();
        let mut running = Vec::new();
        for held in self.held.values() {
            match (held.leased().filter(|leased| leased.read_back), held.at) {
                (Some(lease), at) => running.push(entry(held, lease, at)),
                (None, Some(at)) => match held.attempts_in_log() {
                    0 => waiting.entry(at.partition).or_default().push(at.offset),
                    attempt => again.push(RequeuedPosition {
                        partition: at.partition,
                        offset: at.offset,
                        attempt,
                        waited_ms: held.waited_ms,
                    }),
                },
                // Known only from a work record that has since been taken back: its worker's log still holds the body.
                (None, None) => {}
            }
        }
        // What a predecessor's snapshot gave and memory had no room for yet is as much held as the rest.
        for (at, expected) in &self.expected {
            match expected {
                Expected::Leased(entry) => running.push((**entry).clone()),
                Expected::Waiting { attempt: 0, .. } => {
                    waiting.entry(at.partition).or_default().push(at.offset);
                }
                Expected::Waiting { attempt, waited_ms } => again.push(RequeuedPosition {
                    partition: at.partition,
                    offset: at.offset,
                    attempt: *attempt,
                    waited_ms: *waited_ms,
                }),
            }
        }
        SchedulerSnapshot {
            folded: self.folded(),
            waiting: waiting.into_iter().filter_map(positions).collect(),
            requeued: again,
            leases: running,
            tenants: self.queues.tenants().map(counter).collect(),
            last_left: self.queues.last_left as i64,
            prompt_tokens: self.counts.prompt_tokens as i64,
            completion_tokens: self.counts.completion_tokens as i64,
        }
    }

    fn folded(&self) -> Vec<FoldedOffset> {
        let offsets = self.offsets.iter();
        offsets
            .map(|(input, partition, next)| FoldedOffset {
                topic: input.topic(&self.pool),
                partition,
                next,
            })
            .collect()
    }

    /// Takes a snapshot in. What waits or runs comes to life when its `ready` record is offered again.
    pub fn restore(&mut self, snapshot: &SchedulerSnapshot) {
        for folded in &snapshot.folded {
            let input = Input::ALL
                .into_iter()
                .find(|input| input.topic(&self.pool) == folded.topic);
            if let Some(input) = input {
                self.offsets.set(input, folded.partition, folded.next);
            }
        }
        let waiting = |attempt, waited_ms| Expected::Waiting { attempt, waited_ms };
        for positions in &snapshot.waiting {
            let partition = positions.partition;
            let mut offset = positions.first;
            self.expected.insert(At { partition, offset }, waiting(0, 0));
            for step in &positions.steps {
                offset += step;
                self.expected.insert(At { partition, offset }, waiting(0, 0));
            }
        }
        for position in &snapshot.requeued {
            let RequeuedPosition {
                partition,
                offset,
                attempt,
                waited_ms,
            } = *position;
            self.expected
                .insert(At { partition, offset }, waiting(attempt, waited_ms));
        }
        for lease in &snapshot.leases {
            match (lease.ready_partition, lease.ready_offset) {
                (Some(partition), Some(offset)) => {
                    let expected = Expected::Leased(Box::new(lease.clone()));
                    self.expected.insert(At { partition, offset }, expected);
                }
                _ => self.orphans.push(lease.clone()),
            }
        }
        for tenant in &snapshot.tenants {
            self.queues.restore(&tenant.tenant, restored(tenant));
        }
        self.queues.last_left = snapshot.last_left as u64;
        self.counts.prompt_tokens = snapshot.prompt_tokens as u64;
        self.counts.completion_tokens = snapshot.completion_tokens as u64;
    }

    /// Says what a partition's log holds. A log that was cut back is folded from its new end on; what lies before its start
    /// can never be folded.
    pub fn bound(&mut self, input: Input, partition: i32, low: i64, high: i64) {
        let next = self.offsets.next(input, partition);
        self.offsets.set(input, partition, next.clamp(low, high.max(low)));
        if input == Input::Ready {
            self.give_up_positions(partition, low, high);
        }
    }

    /// Positions that the log no longer holds are expected no longer; leases among them are orphans.
    fn give_up_positions(&mut self, partition: i32, low: i64, high: i64) {
        let gone = |at: &At| at.partition == partition && !(low..high).contains(&at.offset);
        let lost: Vec<At> = self.expected.keys().filter(|at| gone(at)).copied().collect();
        for at in lost {
            if let Some(Expected::Leased(entry)) = self.expected.remove(&at) {
                self.orphans.push(*entry);
            }
        }
    }

    /// Where `ready` must be read from: the lowest position that a snapshot expects, else what is not folded.
    pub fn ready_from(&self, partition: i32) -> i64 {
        let expected = self.expected.keys().filter(|at| at.partition == partition);
        let lowest = expected.map(|at| at.offset).min();
        let next = self.offsets.next(Input::Ready, partition);
        lowest.map_or(next, |lowest| lowest.min(next))
    }

    /// Whether the record at `at` matters: it is new, or a snapshot expects it.
    pub fn wants(&self, at: At) -> bool {
        at.offset >= self.offsets.next(Input::Ready, at.partition) || self.expected.contains_key(&at)
    }

    pub(super) fn restore_lease(&mut self, ticket: Ticket, entry: LeaseEntry, now: TimestampMs) {
        let mut leased = Leased::read(entry.lease, entry.queueing, now);
        leased.tokens = entry.tokens.0;
        leased.cancelled = entry.cancelled;
        self.grant(ticket, leased);
    }

    /// Leases whose bodies the log no longer holds: nobody can run them again, so they end, unless they have ended.
    pub(super) fn end_orphans(&mut self, now: TimestampMs) {
        for orphan in std::mem::take(&mut self.orphans) {
            if self.ended.get(&orphan.request_id).is_some() || self.ids.contains_key(&orphan.request_id) {
                continue;
            }
            let run = Run {
                attempt: orphan.lease.attempt,
                ..self.run.clone()
            };
            let ending = Ending::because(
                OutcomeStatus::Failed,
                "worker_lost",
                "the log no longer holds its request",
            );
            let outcome = end(
                Known::Headers(&orphan.request_id, &orphan.tenant),
                run,
                ending,
                now,
            );
            self.effects.push(Effect::End(Box::new(outcome), None));
        }
    }
}

impl Held {
    /// Attempts that the log knows of: one whose work record was not read back may not be in it.
    fn attempts_in_log(&self) -> u32 {
        match self.leased() {
            Some(leased) if !leased.read_back => self.attempt.saturating_sub(1),
            _ => self.attempt,
        }
    }
}

fn positions((partition, mut offsets): (i32, Vec<i64>)) -> Option<WaitingPositions> {
    offsets.sort_unstable();
    let steps = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Some(WaitingPositions {
        partition,
        first: *offsets.first()?,
        steps,
    })
}

fn entry(held: &Held, leased: &Leased, at: Option<At>) -> LeaseEntry {
    LeaseEntry {
        request_id: held.ready.request.request_id.clone(),
        tenant: held.ready.request.tenant.clone(),
        ready_partition: at.map(|at| at.partition),
        ready_offset: at.map(|at| at.offset),
        queueing: leased.queueing.clone(),
        lease: leased.lease.clone(),
        tokens: TokenCount(leased.tokens),
        cancelled: leased.cancelled,
    }
}

fn counter(tenant: &Tenant) -> TenantCounter {
    let Restored {
        counter,
        turn,
        flows,
        last_left,
        settled,
    } = tenant.to_restore();
    TenantCounter {
        tenant: tenant.id.clone(),
        counter: counter as i64,
        turn: turn as i64,
        flows: flows.into_iter().map(|value| value as i64).collect(),
        last_left: last_left as i64,
        prompt_tokens: settled.0 as i64,
        completion_tokens: settled.1 as i64,
    }
}

fn restored(tenant: &TenantCounter) -> Restored {
    Restored {
        counter: tenant.counter as u64,
        turn: tenant.turn as u64,
        flows: tenant.flows.iter().map(|value| *value as u64).collect(),
        last_left: tenant.last_left as u64,
        settled: (tenant.prompt_tokens as u64, tenant.completion_tokens as u64),
    }
}
