//! The planner: the real decision, under a small policy; only reading and publishing are simulated.

use std::sync::Arc;
use std::sync::LazyLock;

use rand::Rng;
use relay_lifecycle::last_frame;
use relay_planner::{Policy, decide};
use relay_schemas::{Planned, Run, Service};

use crate::log::Append;
use crate::schedule::Actor;
use crate::stage::Consumer;
use crate::world::World;

static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(include_str!("policy.yaml")).expect("it is part of this build"));

/// The planner.
#[derive(Default)]
pub(crate) struct Planner {
    consumer: Consumer,
}

impl Planner {
    pub fn crash(&mut self) {
        self.consumer.crash();
    }

    pub fn lose_next(&mut self) {
        self.consumer.loses_next = true;
    }

    pub fn reread(&mut self, back: i64) {
        self.consumer.reread(back);
    }
}

impl World {
    pub(crate) fn step_planner(&mut self) {
        if self.planner.consumer.busy || !self.log_moves() {
            return;
        }
        let Some(request) = self.log.requests.get(self.planner.consumer.next) else {
            return;
        };
        let id = request.request_id.clone();
        if self.planner.consumer.loses() {
            self.note(|| format!("{id} is lost between planner and cache service"));
            return self.wake(Actor::Planner, self.now);
        }
        let run = Run {
            service: Service::Planner,
            instance: "planner".into(),
            epoch: 0,
            attempt: 0,
        };
        let request = Arc::new(request.clone());
        let now = self.now_for(Actor::Planner, request.accepted_at);
        let record = match decide(&POLICY, &request, run, now) {
            Err(outcome) => Append::Outcome(outcome),
            Ok(planning) => {
                let planning = planning.into();
                Append::Planned(Box::new(Planned { request, planning }))
            }
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
                vec![last_frame(&outcome, 0, false)],
            );
        }
        if self.planner.consumer.busy || !self.log_moves() {
            let commits = self.random.random_bool(0.8);
            self.planner.consumer.finished(commits);
        }
        self.wake(Actor::Planner, self.now);
    }
}
