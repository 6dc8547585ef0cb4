//! The sweeper of an ingress: the real memory of what has not ended; only reading and publishing are simulated. Both ingresses
//! sweep all requests, as when one has not noticed yet that the other took its partition over.

use std::sync::Arc;

use rand::Rng;
use relay_lifecycle::{Ending, Known, Moment, OpenRequest, Unended, end};
use relay_schemas::{OutcomeStatus, Request, Run, Service, TimestampMs};

use crate::log::Append;
use crate::schedule::Actor;
use crate::world::{Sabotage, World};

/// How long after its deadline a request may still be ended by whoever has it.
const MARGIN_MS: i64 = 3_000;
/// Between two looks.
const EVERY_MS: i64 = 500;

/// The sweeper of one life of an ingress.
pub(crate) struct Sweeper {
    unended: Unended,
    /// What of the outcomes it reads next.
    outcomes: i64,
    /// What of the outcomes it is writing has not been acknowledged.
    writing: usize,
}

impl Sweeper {
    /// Starts where the group has committed, and reads all outcomes since then: here, all there are.
    pub fn new(committed: i64) -> Self {
        let mut unended = Unended::new(1_000, MARGIN_MS);
        unended.own(0, committed);
        Self {
            unended,
            outcomes: 0,
            writing: 0,
        }
    }

    /// When it should look again, where the wall clock is ahead by so much: at once, or after a while where it looked in vain.
    pub fn next_wakeup(&self, now: TimestampMs, ahead_ms: i64) -> Option<TimestampMs> {
        let due = self.unended.first_due()?.plus_ms(-ahead_ms);
        Some(if due > now { due } else { now.plus_ms(EVERY_MS) })
    }

    /// An outcome of its own is acknowledged.
    pub fn acknowledged(&mut self) {
        self.writing = self.writing.saturating_sub(1);
    }
}

impl World {
    pub(crate) fn sweep(&mut self, number: u8) {
        if self.sabotage == Sabotage::NeverSweep || !self.log_moves() {
            return;
        }
        let now = Moment {
            at: self.wall(Actor::Ingress(number)),
            passed_ms: self.now.0,
        };
        let (timeline, steady) = (self.timeline(Actor::Ingress(number)), self.now);
        let sweeper = &mut self.ingresses[usize::from(number)].sweeper;
        let mut next = sweeper.unended.next().next().map_or(0, |(_, next)| next);
        while let Some(request) = self.log.requests.get(next) {
            let told = timeline.now_for(request.accepted_at, steady);
            let open = OpenRequest {
                id: request.request_id.clone(),
                tenant: request.tenant.clone(),
                deadline: now.at.plus_ms(request.deadline.since_ms(told)),
                batch: None,
            };
            sweeper.unended.read((0, next), Some(open), now);
            next += 1;
        }
        while let Some(outcome) = self.log.outcomes.get(sweeper.outcomes) {
            sweeper.unended.ended(&outcome.request_id);
            sweeper.outcomes += 1;
        }
        let resume_at = sweeper.unended.resume_at().next().map_or(0, |(_, offset)| offset);
        let overdue = if sweeper.writing == 0 {
            sweeper.unended.overdue(now, 4)
        } else {
            Vec::new()
        };
        sweeper.writing += overdue.len();
        if self.random.random_bool(0.8) {
            self.swept_to = self.swept_to.max(resume_at);
        }
        for overdue in overdue {
            // A repeat under a key is dropped by the stages where its request has ended: who won is remembered by the sink.
            let ended = self.sink.traces.contains_key(&overdue.id);
            let request = self.log.requests.get(overdue.place.1).cloned();
            if let Some(request) = request.filter(|_| !ended) {
                self.end_forgotten(number, &request);
            } else {
                let sweeper = &mut self.ingresses[usize::from(number)].sweeper;
                sweeper.unended.ended(&overdue.id);
                sweeper.acknowledged();
            }
        }
    }

    fn end_forgotten(&mut self, number: u8, request: &Request) {
        let run = Run {
            service: Service::Ingress,
            instance: format!("ingress-{number}").as_str().into(),
            epoch: self.life(Actor::Ingress(number)).epoch,
            attempt: 0,
        };
        let ending = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", "forgotten");
        let wall = self.wall(Actor::Ingress(number));
        let known = &Arc::new(request.clone());
        let outcome = end(Known::Request(known), run, ending, wall);
        self.append(Actor::Ingress(number), Append::Outcome(Box::new(outcome)));
    }

    /// Both ingresses look at what was accepted.
    pub(crate) fn wake_sweepers(&mut self) {
        for number in 0..2 {
            self.wake(Actor::Ingress(number), self.now.plus_ms(EVERY_MS));
        }
    }
}
