//! The cache service: answers what it has an answer for, fills from winning outcomes, hands on the rest.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use relay_lifecycle::{Ending, Known, end};
use relay_schemas::{
    Answer, CacheStatus, Caching, OutcomeStatus, Planned, Ready, RequestId, Run, Service, TenantId, Usage,
};

use crate::frames::final_frames;
use crate::log::Append;
use crate::schedule::Actor;
use crate::stage::Consumer;
use crate::world::World;

type Key = (TenantId, String);

/// The cache service. What it knows dies with it.
#[derive(Default)]
pub(crate) struct CacheService {
    consumer: Consumer,
    filled_to: i64,
    entries: BTreeMap<Key, (Answer, Usage)>,
    ended: BTreeSet<RequestId>,
}

impl CacheService {
    pub fn crash(&mut self) {
        self.consumer.crash();
        self.entries.clear();
        self.ended.clear();
        self.filled_to = 0;
    }

    pub fn reread(&mut self, back: i64) {
        self.consumer.reread(back);
    }
}

impl World {
    pub(crate) fn step_cache_service(&mut self) {
        self.fill();
        if self.cache_service.consumer.busy {
            return;
        }
        let Some(planned) = self.log.planned.get(self.cache_service.consumer.next) else {
            return;
        };
        let record = self.look_up(planned.clone());
        self.cache_service.consumer.busy = true;
        self.append(Actor::CacheService, record);
    }

    fn fill(&mut self) {
        let cache = &mut self.cache_service;
        while let Some(outcome) = self.log.outcomes.get(cache.filled_to) {
            cache.filled_to += 1;
            let first = cache.ended.insert(outcome.request_id.clone());
            let (Some(request), Some(answer)) = (&outcome.request, &outcome.answer) else {
                continue;
            };
            if first && outcome.status == OutcomeStatus::Completed && answer.finish_reason == "stop" {
                let key = (request.tenant.clone(), request.request_hash.clone());
                cache
                    .entries
                    .entry(key)
                    .or_insert_with(|| (answer.clone(), outcome.usage));
            }
        }
    }

    fn look_up(&self, planned: Planned) -> Append {
        let run = || Run {
            service: Service::CacheService,
            instance: "cache".into(),
            epoch: 0,
            attempt: 0,
        };
        if planned.planning.plan.deadline <= self.now {
            let late = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", "late");
            return Append::Outcome(Box::new(end(Known::Planned(&planned), run(), late, self.now)));
        }
        let key = (
            planned.request.tenant.clone(),
            planned.request.request_hash.clone(),
        );
        let hit = self.cache_service.entries.get(&key);
        let caching = Caching {
            key: key.1.clone(),
            exact: if hit.is_some() {
                CacheStatus::Hit
            } else {
                CacheStatus::Miss
            },
            provenance: None,
            looked_up_at: self.now,
        };
        let ready = Ready {
            request: planned.request,
            planning: planned.planning,
            caching,
        };
        match hit {
            None => Append::Ready(Box::new(ready)),
            Some((answer, usage)) => {
                let ending = Ending {
                    answer: Some(answer.clone()),
                    usage: *usage,
                    ..Ending::of(OutcomeStatus::Cached)
                };
                Append::Outcome(Box::new(end(Known::Ready(&ready), run(), ending, self.now)))
            }
        }
    }

    pub(crate) fn cache_service_acknowledged(&mut self, record: Append) {
        if let Append::Outcome(outcome) = record {
            let reply_to = outcome
                .request
                .as_ref()
                .and_then(|request| request.reply_to.clone());
            let frames = final_frames(&outcome, 0, true);
            self.send_frames(Actor::CacheService, reply_to.as_deref(), frames);
        }
        if self.cache_service.consumer.busy {
            let commits = self.random.random_bool(0.8);
            self.cache_service.consumer.finished(commits);
        }
        self.wake(Actor::CacheService, self.now);
    }
}
