//! What this worker may run, runs, and has run. Pure.
//!
//! The scheduler's lease is the only right to run anything. A record that names another instance, an earlier life of
//! this one, or an overtaken scheduler is not ours, however it came here: after a rebalance partitions hold records for
//! others. What we hold stays held until the bus has acknowledged its outcome, because only then is the end known.

use std::collections::BTreeMap;

use relay_runner::Recent;
use relay_schemas::{InFlight, InstanceId, Lane, Lease, RequestId, TimestampMs, TokenCount};

/// One attempt at one request.
pub type Key = (RequestId, u32);

/// What is remembered of what is over.
#[derive(Debug, Clone, Copy)]
pub struct Remembered {
    /// Most attempts that are known as done.
    pub done: usize,
    /// How long each is known, milliseconds, and in any case for as long as something is held that was read before it ended: after a
    /// rebalance everything is read again from there.
    pub done_ms: i64,
    /// Most cancels that are known, and most requests of which leases are over.
    pub cancels: usize,
    /// How long each is known, milliseconds.
    pub cancels_ms: i64,
}

/// What is decided about a work record.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is ours and new: run it.
    Run {
        /// A cancel has overtaken it.
        cancelled: bool,
    },
    /// Not to be run, and why.
    Skip(Skip),
}

/// Why a work record is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It names another instance, or an earlier life of this one.
    NotOurs,
    /// Its scheduler has been overtaken.
    OldScheduler,
    /// It is held already: it runs, or its outcome is on its way (the runner publishes until it is acknowledged).
    Held,
    /// It has been run.
    Done,
    /// It bears the number of an attempt that has been run: its id was taken anew, or two schedulers gave one number.
    DoneBefore,
    /// Its scheduler has told that the lease is over, or there is a later attempt.
    Revoked,
}

impl Skip {
    /// As metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::OldScheduler => "old_scheduler",
            Self::Held => "held",
            Self::Done => "done",
            Self::DoneBefore => "done_before",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the scheduler may hold such a lease, and wait for it to be run.
    pub const fn is_told(self) -> bool {
        matches!(self, Self::DoneBefore | Self::Revoked)
    }
}

/// A held attempt; `H` is how the shell reaches the run.
#[derive(Debug)]
struct Held<H> {
    scheduler_epoch: i64,
    granted_at: TimestampMs,
    since: TimestampMs,
    lane: Lane,
    handle: H,
}

/// The books of one worker.
#[derive(Debug)]
pub struct Ledger<H> {
    instance: InstanceId,
    epoch: i64,
    newest_scheduler: i64,
    /// The overtaken scheduler whose work was refused last.
    refused_scheduler: Option<i64>,
    /// In order, as its status tells it.
    held: BTreeMap<Key, Held<H>>,
    /// With when its lease was granted.
    done: Recent<Key, TimestampMs>,
    /// Attempts at a request up to this one are over.
    revoked: Recent<RequestId, u32>,
    /// Requests that were cancelled: in one book with what is held, so that a cancel meets its request whichever is first.
    cancelled: Recent<RequestId>,
}

impl<H> Ledger<H> {
    /// Empty books.
    pub fn new(instance: InstanceId, epoch: i64, remembered: Remembered) -> Self {
        Self {
            instance,
            epoch,
            newest_scheduler: i64::MIN,
            refused_scheduler: None,
            held: BTreeMap::new(),
            done: Recent::for_a_while(remembered.done, remembered.done_ms),
            revoked: Recent::for_a_while(remembered.cancels, remembered.cancels_ms),
            cancelled: Recent::for_a_while(remembered.cancels, remembered.cancels_ms),
        }
    }

    /// Decides about a work record, and takes it in if it shall run.
    pub fn admit(
        &mut self,
        request: &RequestId,
        lease: &Lease,
        lane: Lane,
        handle: H,
        now: TimestampMs,
    ) -> Admission {
        if lease.worker != self.instance || lease.worker_epoch != self.epoch {
            return Admission::Skip(Skip::NotOurs);
        }
        let key = (request.clone(), lease.attempt);
        if self.held.contains_key(&key) {
            return Admission::Skip(Skip::Held);
        }
        if let Some(granted_at) = self.done.get(&key, self.horizon(now)) {
            let same = *granted_at == lease.granted_at;
            return Admission::Skip(if same { Skip::Done } else { Skip::DoneBefore });
        }
        if lease.scheduler_epoch < self.newest_scheduler {
            return Admission::Skip(Skip::OldScheduler);
        }
        self.newest_scheduler = lease.scheduler_epoch;
        let revoked = self.revoked.get(request, now);
        if revoked.is_some_and(|last| lease.attempt <= *last) {
            return Admission::Skip(Skip::Revoked);
        }
        if lease.attempt > 1 {
            self.ends_up_to(request, lease.attempt - 1, now);
        }
        let held = Held {
            scheduler_epoch: lease.scheduler_epoch,
            granted_at: lease.granted_at,
            since: now,
            lane,
            handle,
        };
        self.held.insert(key, held);
        let cancelled = self.cancelled.contains(request, now);
        Admission::Run { cancelled }
    }

    /// Whether a scheduler whose work is refused as overtaken is another one than the last that was.
    pub fn is_news(&mut self, refused_scheduler: i64) -> bool {
        self.refused_scheduler.replace(refused_scheduler) != Some(refused_scheduler)
    }

    /// Under which epoch the newest scheduler has leased.
    pub fn newest_scheduler(&self) -> i64 {
        self.newest_scheduler
    }

    /// What was done after this may be read again: no attempt that is held was read before it.
    fn horizon(&self, now: TimestampMs) -> TimestampMs {
        let oldest = self.held.values().map(|held| held.since).min();
        oldest.map_or(now, |oldest| oldest.min(now))
    }

    /// The outcome is acknowledged, or the run was given up: it is no longer held, and never runs again here.
    pub fn release(&mut self, key: &Key, now: TimestampMs) {
        let horizon = self.horizon(now);
        if let Some(held) = self.held.remove(key) {
            self.done.insert_at(key.clone(), held.granted_at, now, horizon);
        }
    }

    /// A scheduler tells that leases of a request up to this attempt are over: what was not read of them yet is not run. What is
    /// held runs on, as a client may be shown it.
    pub fn revoke(&mut self, request: &RequestId, attempt: u32, scheduler_epoch: i64, now: TimestampMs) {
        if scheduler_epoch >= self.newest_scheduler {
            self.ends_up_to(request, attempt, now);
        }
    }

    fn ends_up_to(&mut self, request: &RequestId, attempt: u32, now: TimestampMs) {
        let known = self.revoked.get(request, now).copied().unwrap_or_default();
        self.revoked.renew(request.clone(), known.max(attempt), now);
    }

    /// Remembers a cancel. Ways to every attempt at `request` that is held.
    pub fn cancel(&mut self, request: &RequestId, now: TimestampMs) -> impl Iterator<Item = &H> {
        self.cancelled.renew(request.clone(), (), now);
        let of_request = (request.clone(), u32::MIN)..=(request.clone(), u32::MAX);
        self.held.range(of_request).map(|(_, held)| &held.handle)
    }

    /// How many are held in each lane: short, long.
    pub fn lanes(&self) -> (usize, usize) {
        let short = self.held.values().filter(|held| held.lane == Lane::Short).count();
        (short, self.held.len() - short)
    }

    /// What the status says is held.
    pub fn in_flight(&self, tokens: impl Fn(&H) -> u32) -> Vec<InFlight> {
        let line = |(key, held): (&Key, &Held<H>)| InFlight {
            request_id: key.0.clone(),
            attempt: key.1,
            scheduler_epoch: held.scheduler_epoch,
            tokens: TokenCount(tokens(&held.handle)),
        };
        self.held.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests;
