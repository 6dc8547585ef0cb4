//! The cache service: the real rules of what may be cached, whose it is, and how a lookup ends; reading, publishing and where
//! entries lie are simulated.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use relay_bus::topics::OUTCOMES;
use relay_bus::{Partition, Position};
use relay_cache_service::decide::{answered, expired, looked_up};
use relay_cache_service::eligibility::entry_of;
use relay_cache_service::entry::{Entry, Owner};
use relay_lifecycle::last_frame;
use relay_schemas::{CacheStatus, Planned, RequestId, Run, Service, TimestampMs};

use crate::log::Append;
use crate::schedule::Actor;
use crate::stage::Consumer;
use crate::world::{Sabotage, World};

/// The cache service. What it knows dies with it.
#[derive(Default)]
pub(crate) struct CacheService {
    consumer: Consumer,
    filled_to: i64,
    entries: BTreeMap<String, Entry>,
    ended: BTreeSet<RequestId>,
}

impl CacheService {
    pub fn crash(&mut self) {
        self.consumer.crash();
        self.entries.clear();
        self.ended.clear();
        self.filled_to = 0;
    }

    pub fn lose_next(&mut self) {
        self.consumer.loses_next = true;
    }

    pub fn reread(&mut self, back: i64) {
        self.consumer.reread(back);
    }

    /// The first fill wins, as long as it lives.
    fn keep(&mut self, entry: Entry, now: TimestampMs) {
        let key = entry.owner.key();
        if self.entries.get(&key).is_none_or(|held| held.left_ms(now) == 0) {
            self.entries.insert(key, entry);
        }
    }

    /// What lies under the key and does not fit is removed.
    fn get(&mut self, key: &str, owner: &Owner, ttl_ms: i64, now: TimestampMs) -> Option<&Entry> {
        if self.entries.get(key)?.fits(owner, ttl_ms, now).is_err() {
            self.entries.remove(key);
        }
        self.entries.get(key)
    }
}

impl World {
    pub(crate) fn step_cache_service(&mut self) {
        if !self.log_moves() {
            return;
        }
        self.fill();
        if self.cache_service.consumer.busy {
            return;
        }
        let Some(planned) = self.log.planned.get(self.cache_service.consumer.next) else {
            return;
        };
        let planned = planned.clone();
        if self.cache_service.consumer.loses() {
            let id = &planned.request.request_id;
            self.note(|| format!("{id} is lost between cache service and scheduler"));
            return self.wake(Actor::CacheService, self.now);
        }
        let record = self.look_up(planned);
        self.cache_service.consumer.busy = true;
        self.append(Actor::CacheService, record);
    }

    fn fill(&mut self) {
        let wall = self.wall(Actor::CacheService);
        let cache = &mut self.cache_service;
        while let Some(outcome) = self.log.outcomes.get(cache.filled_to) {
            let position = Position {
                partition: Partition::new(OUTCOMES, 0),
                offset: cache.filled_to,
            };
            cache.filled_to += 1;
            let first = cache.ended.insert(outcome.request_id.clone());
            if !first && self.sabotage != Sabotage::FillFromLosers {
                continue;
            }
            if let Ok(entry) = entry_of(outcome, &position, wall) {
                cache.keep(entry, wall);
            }
        }
    }

    fn look_up(&mut self, planned: Planned) -> Append {
        let now = self.now_for(Actor::CacheService, planned.request.accepted_at);
        let run = Run {
            service: Service::CacheService,
            instance: "cache".into(),
            epoch: 0,
            attempt: 0,
        };
        let plan = &planned.planning.plan;
        if now >= plan.deadline {
            return Append::Outcome(Box::new(expired(&planned, run, now)));
        }
        let owner = Owner::of(&planned.request, plan);
        let (key, cache, wall) = (owner.key(), plan.cache, self.wall(Actor::CacheService));
        if !cache.exact {
            return Append::Ready(Box::new(looked_up(planned, key, CacheStatus::Off, now)));
        }
        match self.cache_service.get(&key, &owner, cache.ttl_ms, wall) {
            None => Append::Ready(Box::new(looked_up(planned, key, CacheStatus::Miss, now))),
            Some(entry) => {
                let ready = looked_up(planned, key, CacheStatus::Hit, now);
                Append::Outcome(Box::new(answered(ready, entry, "lru", run, now)))
            }
        }
    }

    pub(crate) fn cache_service_acknowledged(&mut self, record: Append) {
        if let Append::Outcome(outcome) = record {
            let reply_to = outcome
                .request
                .as_ref()
                .and_then(|request| request.reply_to.clone());
            let frames = vec![last_frame(&outcome, 0, true)];
            self.send_frames(Actor::CacheService, reply_to.as_deref(), frames);
        }
        if self.cache_service.consumer.busy {
            let commits = self.random.random_bool(0.8);
            self.cache_service.consumer.finished(commits);
        }
        self.wake(Actor::CacheService, self.now);
    }
}
