//! What this worker may run, runs, and has run. Pure.
//!
//! The scheduler's lease is the only right to run anything. A record that names another instance, an earlier life of
//! this one, or an overtaken scheduler is not ours, however it came here: after a rebalance partitions hold records for
//! others. What we hold stays held until the bus has acknowledged its outcome, because only then is the end known.

use std::collections::HashMap;

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
    /// Most cancels that are known.
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
}

impl Skip {
    /// As metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::OldScheduler => "old_scheduler",
            Self::Held => "held",
            Self::Done => "done",
        }
    }
}

/// A held attempt; `H` is how the shell reaches the run.
#[derive(Debug)]
struct Held<H> {
    scheduler_epoch: i64,
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
    held: HashMap<Key, Held<H>>,
    done: Recent<Key>,
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
            held: HashMap::new(),
            done: Recent::for_a_while(remembered.done, remembered.done_ms),
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
        if self.done.contains(&key, self.horizon(now)) {
            return Admission::Skip(Skip::Done);
        }
        if lease.scheduler_epoch < self.newest_scheduler {
            return Admission::Skip(Skip::OldScheduler);
        }
        self.newest_scheduler = lease.scheduler_epoch;
        let held = Held {
            scheduler_epoch: lease.scheduler_epoch,
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
        if self.held.remove(key).is_some() {
            self.done.insert_at(key.clone(), (), now, horizon);
        }
    }

    /// Remembers a cancel. Ways to every attempt at `request` that is held.
    pub fn cancel(&mut self, request: &RequestId, now: TimestampMs) -> impl Iterator<Item = &H> {
        self.cancelled.renew(request.clone(), (), now);
        let of_request = move |(key, _): &(&Key, &Held<H>)| key.0 == *request;
        self.held.iter().filter(of_request).map(|(_, held)| &held.handle)
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
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000);

    fn lease(worker: &str, worker_epoch: i64, attempt: u32, scheduler_epoch: i64) -> Lease {
        Lease {
            worker: worker.into(),
            worker_epoch,
            attempt,
            scheduler_epoch,
            granted_at: NOW,
        }
    }

    fn ledger() -> Ledger<u32> {
        let remembered = Remembered {
            done: 10,
            done_ms: 1_000,
            cancels: 10,
            cancels_ms: 1_000,
        };
        Ledger::new("w".into(), 7, remembered)
    }

    const RUN: Admission = Admission::Run { cancelled: false };

    fn admit(ledger: &mut Ledger<u32>, lease: &Lease) -> Admission {
        ledger.admit(&"r".into(), lease, Lane::Short, lease.attempt, NOW)
    }

    #[test]
    fn only_work_that_names_this_life_of_this_instance_is_run() {
        let mut ledger = ledger();
        assert_eq!(
            admit(&mut ledger, &lease("other", 7, 1, 5)),
            Admission::Skip(Skip::NotOurs)
        );
        assert_eq!(
            admit(&mut ledger, &lease("w", 6, 1, 5)),
            Admission::Skip(Skip::NotOurs)
        );
        assert_eq!(admit(&mut ledger, &lease("w", 7, 1, 5)), RUN);
    }

    #[test]
    fn a_scheduler_that_was_overtaken_is_refused_even_by_a_foreign_record_it_may_not_overtake() {
        let mut ledger = ledger();
        assert_eq!(
            admit(&mut ledger, &lease("other", 7, 1, 9)),
            Admission::Skip(Skip::NotOurs)
        );
        assert_eq!(admit(&mut ledger, &lease("w", 7, 1, 5)), RUN);
        assert_eq!(admit(&mut ledger, &lease("w", 7, 2, 6)), RUN);
        assert_eq!(
            admit(&mut ledger, &lease("w", 7, 3, 5)),
            Admission::Skip(Skip::OldScheduler)
        );
    }

    #[test]
    fn a_record_delivered_again_never_runs_twice() {
        let mut ledger = ledger();
        let lease = lease("w", 7, 1, 5);
        assert_eq!(admit(&mut ledger, &lease), RUN);
        assert_eq!(admit(&mut ledger, &lease), Admission::Skip(Skip::Held));
        assert_eq!(ledger.lanes(), (1, 0));
        assert_eq!(ledger.in_flight(|_| 3)[0].tokens, TokenCount(3));
        ledger.release(&("r".into(), 1), NOW);
        assert_eq!(admit(&mut ledger, &lease), Admission::Skip(Skip::Done));
        assert_eq!(ledger.lanes(), (0, 0));
    }

    #[test]
    fn a_cancel_reaches_every_attempt_that_is_held() {
        let mut ledger = ledger();
        for attempt in 1..=3 {
            assert_eq!(admit(&mut ledger, &lease("w", 7, attempt, 5)), RUN);
        }
        ledger.release(&("r".into(), 1), NOW);
        let mut reached: Vec<u32> = ledger.cancel(&"r".into(), NOW).copied().collect();
        reached.sort_unstable();
        assert_eq!(reached, [2, 3]);
        assert_eq!(ledger.cancel(&"s".into(), NOW).count(), 0);
    }

    /// By reading: one that came after its worker had looked for cancels and before it was in the books waited for its repetition.
    #[test]
    fn a_cancel_meets_its_request_whichever_comes_first() {
        let mut ledger = ledger();
        let lease = lease("w", 7, 1, 5);
        assert_eq!(ledger.cancel(&"r".into(), NOW).count(), 0);
        assert_eq!(admit(&mut ledger, &lease), Admission::Run { cancelled: true });
        assert_eq!(ledger.cancel(&"r".into(), NOW).count(), 1);
    }

    /// By reading: after a rebalance everything behind a long run is read again, also what ended long ago.
    #[test]
    fn what_ended_while_something_older_runs_is_known_as_done_however_long_ago() {
        let mut ledger = ledger();
        let (long, short) = (lease("w", 7, 1, 5), lease("w", 7, 2, 5));
        let (first, later) = (NOW.plus_ms(1), NOW.plus_ms(3_600_000));
        let request = RequestId::from("r");
        assert_eq!(admit(&mut ledger, &long), RUN);
        assert_eq!(ledger.admit(&request, &short, Lane::Short, 2, first), RUN);
        ledger.release(&(request.clone(), 2), first);
        for nth in 3..9 {
            let other = lease("w", 7, nth, 5);
            assert_eq!(ledger.admit(&request, &other, Lane::Short, nth, later), RUN);
            ledger.release(&(request.clone(), nth), later);
        }
        let again = ledger.admit(&request, &short, Lane::Short, 2, later);
        assert_eq!(again, Admission::Skip(Skip::Done));
        ledger.release(&(request.clone(), 1), later);
        let again = ledger.admit(&request, &long, Lane::Short, 1, later);
        assert_eq!(again, Admission::Skip(Skip::Done), "it has only just ended");
    }

    #[test]
    fn an_overtaken_scheduler_is_news_once() {
        let mut ledger = ledger();
        assert_eq!([3, 3, 4].map(|epoch| ledger.is_news(epoch)), [true, false, true]);
    }
}
