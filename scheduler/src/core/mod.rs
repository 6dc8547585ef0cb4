//! The decisions of one pool's scheduler: a state machine without I/O, clock or log.
//!
//! Inputs are folded by the offsets they lie at, effects come back as values, time is an argument. Until [`Core::lead`]
//! it only folds: what a predecessor wrote becomes what this one knows.

mod cancels;
mod counter;
mod credits;
mod dispatch;
mod effect;
mod ended;
mod ends;
mod offers;
mod offsets;
mod outcomes;
mod place;
mod queue;
mod rate;
mod request;
mod revoke;
mod snapshot;
mod statuses;
mod tenant;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    Class, InstanceId, OutcomeStatus, PoolStatus, RequestId, Run, TenantId, TimestampMs, Usage,
};

pub use counter::{MILLI, W_IN, W_OUT, cost};
pub use effect::{Attempt, Dispatch, Effect};
pub use ends::Ends;
pub use offsets::{Input, Offsets};
pub use request::{At, Offer};

use crate::config::Config;
use credits::Workers;
use ended::Memory;
use place::Ticket;
use queue::Queues;
use rate::Rate;
use request::{Held, State};
use snapshot::Expected;

/// How often leases are looked over, milliseconds.
const LOOK_OVER_MS: i64 = 100;

/// The scheduler of one pool.
pub struct Core {
    config: Config,
    pool: String,
    run: Run,
    epoch: i64,
    leading: bool,
    queues: Queues,
    workers: Workers,
    ended: Memory<()>,
    cancelled: Memory<TenantId>,
    held: BTreeMap<Ticket, Held>,
    ids: HashMap<RequestId, Ticket>,
    leased: BTreeSet<Ticket>,
    by_worker: BTreeMap<InstanceId, BTreeSet<Ticket>>,
    deadlines: BTreeSet<(TimestampMs, Ticket)>,
    expected: HashMap<At, Expected>,
    orphans: Vec<relay_schemas::LeaseEntry>,
    offsets: Offsets,
    next_ticket: Ticket,
    rate: Rate,
    counts: Counts,
    looked_over_at: TimestampMs,
    told_at: TimestampMs,
    effects: Vec<Effect>,
    doubts: Vec<Attempt>,
}

/// What there is and what was done, for metrics and bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Counts {
    pub waiting_short: usize,
    pub waiting_long: usize,
    pub waiting_batch: usize,
    pub running: usize,
    /// Bytes of the bodies held.
    pub body_bytes: usize,
    /// Offers of requests that were known or had ended.
    pub duplicates: u64,
    pub superseded: u64,
    pub revoked: u64,
    /// Dispatches beyond the first attempt.
    pub retried: u64,
    /// Everything that would change a snapshot.
    pub changes: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Longest input and largest output allowance seen, for the fairness bound.
    pub longest_prompt: u64,
    pub longest_output: u64,
}

impl Counts {
    fn waiting_interactive(&self) -> usize {
        self.waiting_short + self.waiting_long
    }

    fn waiting(&self) -> usize {
        self.waiting_interactive() + self.waiting_batch
    }
}

impl Core {
    /// A core that holds nothing. `run` says who ends what it ends (attempt 0).
    pub fn new(config: Config, pool: impl Into<String>, run: Run) -> Self {
        Self {
            queues: Queues::new(&config),
            workers: Workers::default(),
            ended: Memory::new(config.ended_remembered),
            cancelled: Memory::new(config.cancelled_remembered),
            config,
            pool: pool.into(),
            run,
            epoch: -1,
            leading: false,
            held: BTreeMap::new(),
            ids: HashMap::new(),
            leased: BTreeSet::new(),
            by_worker: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            expected: HashMap::new(),
            orphans: Vec::new(),
            offsets: Offsets::default(),
            next_ticket: 0,
            rate: Rate::default(),
            counts: Counts::default(),
            looked_over_at: TimestampMs(0),
            told_at: TimestampMs(0),
            effects: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// From now on decides, under `epoch`. Leases of predecessors get a full term to be shown by their workers.
    pub fn lead(&mut self, epoch: i64, now: TimestampMs) {
        self.epoch = epoch;
        self.leading = true;
        self.looked_over_at = now;
        for ticket in &self.leased {
            if let Some(leased) = self.held.get_mut(ticket).and_then(Held::leased_mut) {
                leased.seen_at = now;
                leased.published = true;
            }
        }
        self.end_orphans(now);
        self.cancel_waiting(now);
        self.tick(now);
    }

    /// What is to be done; to be called after each input.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What there is.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How far the inputs are folded.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Notes a record that could not be read: it is folded and changes nothing.
    pub fn skip(&mut self, input: Input, at: At) {
        self.offsets.fold(input, at);
    }

    /// Whether bodies fill the memory they may; then `ready` is not read on.
    pub fn is_full(&self) -> bool {
        self.counts.body_bytes >= self.config.max_body_bytes
    }

    /// How many tenants wait.
    pub fn tenants_waiting(&self) -> usize {
        self.queues.tenants_waiting()
    }

    /// Tokens settled for `tenant`, ever: input and output.
    pub fn tenant_tokens(&self, tenant: &TenantId) -> (u64, u64) {
        let found = self.queues.tenants().find(|known| known.id == *tenant);
        found.map_or((0, 0), |known| known.settled)
    }

    /// Each tenant's counter, thousandths of a weighted token.
    pub fn counters(&self) -> Vec<(String, u64)> {
        let tenants = self.queues.tenants();
        tenants
            .map(|tenant| (tenant.id.as_str().to_owned(), tenant.value()))
            .collect()
    }

    /// Whether `id` waits or is leased: it is held, and nothing has decided its end here.
    pub fn is_open(&self, id: &RequestId) -> bool {
        let held = self.ids.get(id).and_then(|ticket| self.held.get(ticket));
        held.is_some_and(|held| !matches!(held.state, State::Ending))
    }

    /// Between tenants that wait: the greatest counter less the least, and the bound on twice that (weighted tokens).
    pub fn fairness(&self) -> (u64, u64) {
        let Counts {
            longest_prompt,
            longest_output,
            ..
        } = self.counts;
        let in_flight = self.workers.slots() * (longest_prompt + longest_output);
        let bound = 2 * (W_IN * longest_prompt).max(W_OUT * in_flight);
        (self.queues.gap() / MILLI, bound)
    }

    /// What this pool's scheduler tells.
    pub fn pool_status(&self, now: TimestampMs) -> PoolStatus {
        PoolStatus {
            pool: self.pool.clone(),
            scheduler: self.run.instance.clone(),
            epoch: self.epoch,
            waiting_interactive: self.counts.waiting_interactive() as u32,
            waiting_batch: self.counts.waiting_batch as u32,
            running: self.counts.running as u32,
            sent_at: now,
        }
    }

    /// Lets time pass: deadlines, leases that nobody shows, the pool's status.
    pub fn tick(&mut self, now: TimestampMs) {
        if !self.leading {
            return;
        }
        while let Some((_, ticket)) = self
            .deadlines
            .first()
            .copied()
            .filter(|(deadline, _)| *deadline <= now)
        {
            let late = Ending::because(
                OutcomeStatus::Expired,
                "deadline_exceeded",
                "its deadline passed while it waited in the queue",
            );
            self.end(ticket, late, now);
        }
        if now.since_ms(self.looked_over_at) >= LOOK_OVER_MS {
            self.looked_over_at = now;
            self.look_over_leases(now);
            let silent = 10 * self.config.lost_after_ms as i64;
            self.workers.forget_silent(now.plus_ms(-silent));
        }
        if now.since_ms(self.told_at) >= self.config.pool_status_ms as i64 {
            self.told_at = now;
            let status = self.pool_status(now);
            self.effects.push(Effect::PoolStatus(status));
        }
    }

    /// When [`Core::tick`] is due next.
    pub fn next_wakeup(&self) -> Option<TimestampMs> {
        if !self.leading {
            return None;
        }
        let told = self.told_at.plus_ms(self.config.pool_status_ms as i64);
        let leases = (!self.leased.is_empty()).then(|| self.looked_over_at.plus_ms(LOOK_OVER_MS));
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        [Some(told), leases, deadline].into_iter().flatten().min()
    }

    /// Ends a held request: out of the queues or off its lease, and its outcome on its way.
    fn end(&mut self, ticket: Ticket, mut ending: Ending, now: TimestampMs) {
        self.leave(ticket);
        let Some(held) = self.held.get_mut(&ticket) else {
            return;
        };
        let trace = held.trace.clone();
        let state = std::mem::replace(&mut held.state, State::Ending);
        let run = Run {
            attempt: held.attempt,
            ..self.run.clone()
        };
        let outcome = match state {
            State::Leased(leased) => {
                ending.usage = Usage {
                    prompt_tokens: held.ready.request.prompt_tokens,
                    completion_tokens: relay_schemas::TokenCount(leased.tokens),
                };
                end(Known::Work(&held.work(&leased)), run, ending, now)
            }
            State::Waiting | State::Ending => end(Known::Ready(&held.ready), run, ending, now),
        };
        self.effects.push(Effect::End(Box::new(outcome), trace));
    }

    /// Takes a request out of whatever it stands in; it is still held.
    fn leave(&mut self, ticket: Ticket) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        match &held.state {
            State::Waiting => {
                let place = held.place.clone();
                self.deadlines.remove(&(held.deadline(), ticket));
                self.count_waiting(ticket, false);
                self.queues.remove(&place, ticket);
            }
            State::Leased(_) => self.release(ticket, None),
            State::Ending => {}
        }
        self.counts.changes += 1;
    }

    fn count_waiting(&mut self, ticket: Ticket, more: bool) {
        let Some(held) = self.held.get(&ticket) else {
            return;
        };
        let count = match (held.ready.request.class, held.place.route.lane) {
            (Class::Batch, _) => &mut self.counts.waiting_batch,
            (Class::Interactive, relay_schemas::Lane::Short) => &mut self.counts.waiting_short,
            (Class::Interactive, relay_schemas::Lane::Long) => &mut self.counts.waiting_long,
        };
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
    }
}
