//! Waits for one answer on behalf of a client; what happens when the client goes away is in [`super::abandoned`].

use std::sync::Arc;
use std::time::Duration;

use relay_clock::{Clock, millis};
use relay_runner::Shutdown;
use relay_schemas::{Delta, Request, TimestampMs};

use super::abandoned::{Abandoned, Claim};
use super::end::{Account, End};
use super::pending::Pending;
use super::questions::{Questions, Told};
use super::routes::Routes;

/// How long a cut waits to hear what the run is charged: well within what is left then for clients to be told.
const LAST_LOOK: Duration = Duration::from_millis(250);

/// What came next of an answer.
#[derive(Debug)]
pub enum AnswerEvent {
    /// Pieces for the client.
    Deltas(Vec<Delta>),
    /// It ended.
    Ended(End),
    /// Nothing for as long as was asked.
    Idle,
    /// No end was heard of, and the deadline and its grace are over.
    TimedOut,
    /// No end was heard of, and this gateway ends.
    Cut,
}

/// What every wait uses.
pub struct Waiting {
    /// Where the answers are routed.
    pub routes: Arc<Routes>,
    /// What fills their gaps.
    pub questions: Questions,
    /// What takes over when the client goes away.
    pub abandoned: Abandoned,
    /// How long after its deadline an end is still waited for.
    pub grace: Duration,
    /// Ends the wait.
    pub shutdown: Shutdown,
    /// For patience, and against the deadline.
    pub clock: Clock,
}

impl Waiting {
    /// Waits for `request`, whose frames and outcomes reach `pending` from now on.
    pub fn begin(self: &Arc<Self>, pending: Arc<Pending>, request: &Request) -> Waiter {
        self.routes.add(Arc::clone(&pending));
        let life_ms = request.deadline.since_ms(request.accepted_at);
        let due = self.clock.steady_of(request.accepted_at).plus_ms(life_ms);
        Waiter {
            waiting: Arc::clone(self),
            pending,
            give_up_at: due.plus_ms(millis(self.grace)),
            claim: Some(Claim {
                tenant: request.tenant.clone(),
                due,
                keyed: request.idempotency_key.is_some(),
            }),
        }
    }
}

/// One client's wait for one answer. Dropped before the end, it has the request cancelled. After the end it holds what the client has
/// still to read, until it is dropped.
pub struct Waiter {
    waiting: Arc<Waiting>,
    pending: Arc<Pending>,
    claim: Option<Claim>,
    /// Deadline and grace, by the steady clock.
    give_up_at: TimestampMs,
}

impl Waiter {
    /// What comes next; `Idle` if that is nothing for `patience`. Safe to drop while waiting.
    pub async fn next(&mut self, patience: Duration) -> AnswerEvent {
        let idle = tokio::time::sleep(patience);
        tokio::pin!(idle);
        loop {
            let now = self.waiting.clock.steady();
            let taken = self.pending.take(now);
            self.waiting.questions.put(&self.pending, taken.questions);
            if self.waiting.shutdown.is_stopped() && !taken.ended {
                return self.cut().await;
            }
            if !taken.deltas.is_empty() {
                return AnswerEvent::Deltas(taken.deltas);
            }
            if taken.ended {
                return self.end();
            }
            if now >= self.give_up_at {
                return self.time_out().await;
            }
            let look_at = taken
                .next_wakeup
                .map_or(self.give_up_at, |at| at.min(self.give_up_at));
            let pause = Duration::from_millis(u64::try_from(look_at.since_ms(now)).unwrap_or(0).max(1));
            tokio::select! {
                biased;
                () = self.pending.changed() => {}
                () = tokio::time::sleep(pause) => {}
                () = self.waiting.shutdown.stopped() => {}
                () = &mut idle => return AnswerEvent::Idle,
            }
        }
    }

    /// What is ready behind what `next` gave, to leave with that; nothing, where that has still to come.
    pub fn try_next(&mut self) -> Option<AnswerEvent> {
        let taken = self.pending.take_more(self.waiting.clock.steady());
        self.waiting.questions.put(&self.pending, taken.questions);
        if !taken.deltas.is_empty() {
            return Some(AnswerEvent::Deltas(taken.deltas));
        }
        taken.ended.then(|| self.end())
    }

    /// Where the client's last line is left, if it goes before the end.
    pub fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// What the record of its end says, once that was read.
    pub fn account(&self) -> Option<Account> {
        self.pending.account()
    }

    /// It will never run, so nothing needs to be cancelled.
    pub fn dismiss(mut self) {
        self.claim = None;
        self.waiting.routes.remove(&self.pending);
    }

    fn end(&mut self) -> AnswerEvent {
        self.claim = None;
        self.waiting.routes.remove(&self.pending);
        match self.pending.take_end() {
            Some(end) => AnswerEvent::Ended(end),
            None => AnswerEvent::TimedOut,
        }
    }

    /// A client that is told so does not wait any more: without a key, nobody does. What its run is charged until then is known in a
    /// moment, where its worker still hears of it.
    async fn cut(&mut self) -> AnswerEvent {
        self.waiting.shutdown.cut(1);
        if let Some(claim) = self.claim.as_ref().filter(|claim| !claim.keyed) {
            let (request, tenant) = (&self.pending.request_id, &claim.tenant);
            let last = async {
                let cancelled = self.waiting.abandoned.cancel(request, tenant, "shutdown");
                cancelled.await;
                while !self.pending.has_ended() {
                    self.pending.changed().await;
                }
            };
            let _ = tokio::time::timeout(LAST_LOOK, last).await;
        }
        // Held until here: whoever goes while this waits leaves it to be seen to its end.
        self.claim = None;
        self.waiting.routes.remove(&self.pending);
        self.pending.let_go();
        AnswerEvent::Cut
    }

    /// The sink may know what the log did not tell in time; the service that still holds the request is told that it is too late.
    async fn time_out(&mut self) -> AnswerEvent {
        let Waiting {
            questions,
            abandoned,
            clock,
            ..
        } = &*self.waiting;
        if let Ok(Told::Ended(outcome)) = questions.winner(&self.pending.request_id).await {
            self.pending.on_winner(&outcome, clock.steady());
        }
        let taken = self.pending.take(clock.steady());
        if !taken.deltas.is_empty() {
            return AnswerEvent::Deltas(taken.deltas);
        }
        if taken.ended {
            return self.end();
        }
        // Under a key other clients may wait for the same request, here or elsewhere, and for longer.
        if let Some(claim) = self.claim.take().filter(|claim| !claim.keyed) {
            abandoned
                .cancel(&self.pending.request_id, &claim.tenant, "deadline")
                .await;
        }
        self.waiting.routes.remove(&self.pending);
        self.pending.let_go();
        AnswerEvent::TimedOut
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let abandoned = &self.waiting.abandoned;
            return abandoned.take_over(Arc::clone(&self.pending), claim);
        }
        self.pending.let_go();
        self.pending.parting.conclude(self.pending.account());
    }
}
