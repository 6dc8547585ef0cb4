//! The planner: requests become plans, or expire.

use rand::Rng;
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    CacheFlags, Candidate, Decoding, OutcomeStatus, Plan, Planned, Planning, Request, Run, Service,
    TimestampMs, TokenCount, Verifier,
};

use crate::frames::final_frames;
use crate::log::Append;
use crate::schedule::Actor;
use crate::stage::Consumer;
use crate::world::World;

/// The planner.
#[derive(Default)]
pub(crate) struct Planner {
    consumer: Consumer,
}

impl Planner {
    pub fn crash(&mut self) {
        self.consumer.crash();
    }

    pub fn reread(&mut self, back: i64) {
        self.consumer.reread(back);
    }
}

impl World {
    pub(crate) fn step_planner(&mut self) {
        if self.planner.consumer.busy {
            return;
        }
        let Some(request) = self.log.requests.get(self.planner.consumer.next) else {
            return;
        };
        let record = if request.deadline <= self.now {
            let run = Run {
                service: Service::Planner,
                instance: "planner".into(),
                epoch: 0,
                attempt: 0,
            };
            let late = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", "late");
            Append::Outcome(Box::new(end(Known::Request(request), run, late, self.now)))
        } else {
            Append::Planned(Box::new(plan(request.clone(), self.now)))
        };
        self.planner.consumer.busy = true;
        self.append(Actor::Planner, record);
    }

    pub(crate) fn planner_acknowledged(&mut self, record: Append) {
        if let Append::Outcome(outcome) = record {
            let reply_to = outcome
                .request
                .as_ref()
                .and_then(|request| request.reply_to.clone());
            self.send_frames(
                Actor::Planner,
                reply_to.as_deref(),
                final_frames(&outcome, 0, false),
            );
        }
        if self.planner.consumer.busy {
            let commits = self.random.random_bool(0.8);
            self.planner.consumer.finished(commits);
        }
        self.wake(Actor::Planner, self.now);
    }
}

fn plan(request: Request, now: TimestampMs) -> Planned {
    let tokens = request.requested_tokens.unwrap_or(TokenCount(8));
    let plan = Plan {
        policy_version: "simulation".to_owned(),
        tier: "standard".to_owned(),
        candidates: vec![Candidate {
            pool: "default".to_owned(),
            model: "model".to_owned(),
        }],
        decoding: Decoding {
            profile: "plain".to_owned(),
            max_tokens: tokens,
            temperature: 0.0,
            top_p: None,
            top_k: None,
            seed: None,
            stop: Vec::new(),
        },
        lane_threshold_tokens: TokenCount(6),
        predicted_tokens: tokens,
        slo_ttft_ms: 1_000,
        deadline: request.deadline,
        cache: CacheFlags {
            exact: true,
            semantic: false,
            ttl_ms: 60_000,
        },
        verifier: Verifier::Off,
        signature: "signature".to_owned(),
        plan_hash: "hash".to_owned(),
    };
    let planning = Planning {
        plan,
        rules: Vec::new(),
        adjustments: Vec::new(),
        planned_at: now,
    };
    Planned { request, planning }
}
