//! What the core wants done, collected until it is taken away.

use std::sync::Arc;

use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{InstanceId, Lane, Outcome, PoolStatus, Ready, Revoked, Run, TimestampMs, Work};

use super::recovery::At;
use super::requests::{Attempt, Doubted};

/// Something for the shell to do.
#[derive(Debug)]
pub enum Effect {
    /// Publish this work; tell [`super::Core::dispatched`] once it is acknowledged. The lease exists from now on.
    Dispatch(Box<Dispatch>),
    /// Publish this outcome (under the request's trace context), then send its final frame.
    End(Box<Outcome>, Option<Arc<str>>),
    /// Offer it to another pool; tell [`super::Core::handed_over`] once that is acknowledged. Until then it is held here.
    HandOver(Box<HandOver>),
    /// Make sure that the control seam works, fold outcomes to their present end, then tell [`super::Core::settled`].
    Settle(Vec<Doubted>),
    /// Ask the ingress behind `reply_to` to fence the attempt; tell [`super::Core::fence_answer`].
    AskFence {
        /// Which.
        attempt: Attempt,
        /// The request's reply address.
        reply_to: String,
    },
    /// Tell this life of a worker that a lease of it is over.
    Revoke {
        /// Which worker.
        worker: InstanceId,
        /// Which life of it.
        worker_epoch: i64,
        /// What is over.
        revoked: Revoked,
    },
    /// Broadcast this.
    PoolStatus(PoolStatus),
}

/// Work for one partition of one lane.
#[derive(Debug)]
pub struct Dispatch {
    /// The record.
    pub work: Work,
    /// Which work topic.
    pub lane: Lane,
    /// Which partition of it.
    pub partition: i32,
    /// Where the request's `ready` record lies.
    pub ready_at: Option<At>,
    /// The request's trace context.
    pub trace: Option<Arc<str>>,
}

/// A request for another pool.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// The request, with the reason in its decision trace.
    pub ready: Ready,
    /// Which pool.
    pub pool: String,
    /// The request's trace context.
    pub trace: Option<Arc<str>>,
}

/// The effects since they were last taken, in order. Invariant: what comes into doubt together is one [`Effect::Settle`].
#[derive(Debug)]
pub struct Effects {
    run: Run,
    wanted: Vec<Effect>,
    doubts: Vec<Doubted>,
}

impl Effects {
    /// None yet. `run` says who ends what is ended (attempt 0).
    pub fn new(run: Run) -> Self {
        Self {
            run,
            wanted: Vec::new(),
            doubts: Vec::new(),
        }
    }

    /// Who decides.
    pub fn instance(&self) -> &InstanceId {
        &self.run.instance
    }

    /// One more.
    pub fn push(&mut self, effect: Effect) {
        self.wanted.push(effect);
    }

    /// A request ends after so many attempts.
    pub fn end(
        &mut self,
        known: Known<'_>,
        attempt: u32,
        ending: Ending,
        trace: Option<Arc<str>>,
        now: TimestampMs,
    ) {
        let run = Run {
            attempt,
            ..self.run.clone()
        };
        let outcome = end(known, run, ending, now);
        self.push(Effect::End(Box::new(outcome), trace));
    }

    /// A lease came into doubt.
    pub fn doubt(&mut self, doubted: Doubted) {
        self.doubts.push(doubted);
    }

    /// One effect for all that came into doubt.
    pub fn settle_doubts(&mut self) {
        if !self.doubts.is_empty() {
            let doubts = std::mem::take(&mut self.doubts);
            self.push(Effect::Settle(doubts));
        }
    }

    /// All of them, once.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::{RequestId, Service};

    use super::*;

    #[test]
    fn what_comes_into_doubt_together_is_settled_together_and_once() {
        let mut effects = Effects::new(Run {
            service: Service::Scheduler,
            instance: "s".into(),
            epoch: 1,
            attempt: 0,
        });
        let doubted = [("a", 1), ("b", 2)].map(|(id, number)| Doubted {
            attempt: Attempt {
                request_id: RequestId::from(id),
                attempt: 1,
            },
            number,
        });
        for doubted in &doubted {
            effects.doubt(doubted.clone());
        }
        effects.settle_doubts();
        effects.settle_doubts();
        let taken = effects.take();
        assert!(matches!(&taken[..], [Effect::Settle(doubts)] if *doubts == doubted));
        assert!(effects.take().is_empty());
    }
}
