//! What each worker can still take: slots, less what it holds, less what was dispatched to it and not yet seen.
//!
//! Invariant: our leases on the present epoch of a worker are counted by lane and by model; nothing is assigned beyond what it
//! takes of either.

mod capacity;
mod owners;
mod resting;

use std::collections::{BTreeMap, HashMap, HashSet};

use relay_schemas::{InstanceId, Lane, RequestId, TimestampMs, WorkerStatus};

use self::capacity::Capacity;
use self::owners::Owners;
pub use self::resting::Unbegun;
use self::resting::{Resting, Trust};
use super::queues::Route;

/// What a status says of its instance.
#[derive(Debug, PartialEq, Eq)]
pub enum Update {
    /// Older than what is known.
    Stale,
    /// The same instance goes on.
    SameInstance,
    /// The instance was started again: what it held is gone.
    Restarted,
}

/// Where a dispatch goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The worker.
    pub worker: InstanceId,
    /// Its epoch.
    pub epoch: i64,
    /// One of its partitions.
    pub partition: i32,
}

/// All workers of the pool.
#[derive(Debug)]
pub struct Workers {
    /// How long a status vouches for its worker, milliseconds.
    fresh_ms: i64,
    all: BTreeMap<InstanceId, Capacity>,
    /// When a worker last told that it takes this lane's requests for this model.
    served_at: HashMap<(Lane, String), TimestampMs>,
    /// When a worker last told that it loads this model.
    awaited_at: HashMap<String, TimestampMs>,
    resting: Resting,
    owners: Owners,
    /// Before that nothing was listened to.
    since: TimestampMs,
}

impl Workers {
    /// No workers; a status will vouch for its worker for `fresh_ms`.
    pub fn new(fresh_ms: i64) -> Self {
        Self {
            fresh_ms,
            all: BTreeMap::new(),
            served_at: HashMap::new(),
            awaited_at: HashMap::new(),
            resting: Resting::default(),
            owners: Owners::default(),
            since: TimestampMs(0),
        }
    }

    /// Takes a status in.
    pub fn update(&mut self, status: &WorkerStatus, now: TimestampMs) -> Update {
        let known = self.all.get(&status.worker);
        let update = match known.map(|known| (known.epoch, known.seq)) {
            Some(known) if (status.epoch, status.seq) <= known => return Update::Stale,
            Some((epoch, _)) if status.epoch > epoch => Update::Restarted,
            _ => Update::SameInstance,
        };
        let turn = known.map_or(0, |known| known.turn);
        let capacity = Capacity::of(status, now, turn);
        self.owners.tells(status, now);
        for lane in [Lane::Short, Lane::Long] {
            let models = capacity.taken(lane).map(str::to_owned);
            self.served_at.extend(models.map(|model| ((lane, model), now)));
        }
        let loading = capacity.loading().map(str::to_owned);
        self.awaited_at.extend(loading.map(|model| (model, now)));
        self.all.insert(status.worker.clone(), capacity);
        if update == Update::Restarted {
            self.resting.forget(&status.worker);
        }
        update
    }

    /// Says what a worker holds, as its status shows it: leases of ours, by route, and which requests that are none.
    pub fn reconcile<'a>(
        &mut self,
        worker: &InstanceId,
        leased: impl Iterator<Item = &'a Route>,
        foreign: HashSet<RequestId>,
    ) {
        if let Some(worker) = self.all.get_mut(worker) {
            worker.reconcile(leased, foreign);
        }
    }

    /// One lease more.
    pub fn lease(&mut self, worker: &InstanceId, epoch: i64, route: &Route, id: &RequestId) {
        if let Some(worker) = self.all.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            worker.lease(route);
            worker.no_longer_foreign(id);
        }
    }

    /// One lease less.
    pub fn release(&mut self, worker: &InstanceId, epoch: i64, route: &Route) {
        if let Some(worker) = self.all.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            worker.release(route);
        }
    }

    /// The worker has ended a request that was no lease of ours.
    pub fn ended(&mut self, worker: &InstanceId, id: &RequestId) {
        if let Some(worker) = self.all.get_mut(worker) {
            worker.no_longer_foreign(id);
        }
    }

    /// Assigns a worker: one that runs the first model for which a worker has credit, there the one with most credit.
    pub fn assign(&mut self, route: &Route, now: TimestampMs) -> Option<Assignment> {
        let name = self.best(route, now)?.1.clone();
        let worker = self.all.get_mut(&name)?;
        let partitions = &worker.partitions[route.lane as usize];
        worker.turn = worker.turn.wrapping_add(1);
        let partition = *partitions.get(worker.turn % partitions.len())?;
        Some(Assignment {
            worker: name,
            epoch: worker.epoch,
            partition,
        })
    }

    /// Whether a worker has credit for it.
    pub fn can_take(&self, route: &Route, now: TimestampMs) -> bool {
        self.best(route, now).is_some()
    }

    /// The model with which what waits on a route would begin, if it were assigned now.
    pub fn begins_with<'a>(&self, route: &'a Route, now: TimestampMs) -> Option<&'a str> {
        self.best(route, now).map(|(model, _)| model)
    }

    /// Whether a live worker takes what waits on a route, now or when a slot is free.
    pub fn serves(&self, route: &Route, now: TimestampMs) -> bool {
        self.all
            .values()
            .any(|worker| self.is_fresh(worker, now) && worker.takes(route))
    }

    /// Whether this life of a worker tells its statuses.
    pub fn lives(&self, worker: &InstanceId, epoch: i64, now: TimestampMs) -> bool {
        let known = self.all.get(worker).filter(|known| known.epoch == epoch);
        known.is_some_and(|known| self.is_fresh(known, now))
    }

    fn is_fresh(&self, worker: &Capacity, now: TimestampMs) -> bool {
        now.since_ms(worker.seen_at) <= self.fresh_ms
    }

    fn best<'a>(&self, route: &'a Route, now: TimestampMs) -> Option<(&'a str, &InstanceId)> {
        let fresh = || self.all.iter().filter(|(_, worker)| self.is_fresh(worker, now));
        let may_rest = self.others_may_take(route, now);
        route.models.iter().find_map(|model| {
            let able = fresh().filter(|(_, worker)| worker.first_model(route) == Some(model));
            let credits = able.map(|(name, worker)| {
                let most = match self.resting.trust(name, model, route.lane, now) {
                    Trust::None if may_rest => 0,
                    Trust::One if may_rest => u32::from(!worker.turns_any(route)),
                    Trust::Full | Trust::One | Trust::None => u32::MAX,
                };
                (worker.credit(route).min(most), name)
            });
            // `max_by` takes the last of equals; reversed names make it the first, for the same choice every time.
            let best = credits.filter(|(credit, _)| *credit > 0);
            best.max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)))
                .map(|(_, name)| (model.as_str(), name))
        })
    }

    /// Whether a live worker takes what waits on a route, now or when a slot is free, whose model has not failed there before a
    /// run began; or may do so, as not every worker has been heard of that could have been.
    pub fn others_may_take(&self, route: &Route, now: TimestampMs) -> bool {
        self.may_come(now) || self.able(route, now).next().is_some()
    }

    /// Whether not every worker has been heard of yet that could have been.
    pub fn may_come(&self, now: TimestampMs) -> bool {
        let heard_for_ms = now.since_ms(self.since);
        (0..self.fresh_ms).contains(&heard_for_ms)
    }

    /// Whether a worker still has a work record before it that was leased to it at `leased_at`, as no other one has owned its partition
    /// since then and passed it over, and no other live worker takes its route.
    pub fn is_alone(
        &self,
        worker: &InstanceId,
        route: &Route,
        partition: i32,
        leased_at: TimestampMs,
        now: TimestampMs,
    ) -> bool {
        self.owners.is_alone(worker, route.lane, partition, leased_at)
            && self.able(route, now).all(|name| name == worker)
    }

    /// Live workers that take what waits on a route, now or when a slot is free, and have not failed it.
    fn able(&self, route: &Route, now: TimestampMs) -> impl Iterator<Item = &InstanceId> {
        let able = self.all.iter().filter(move |(name, worker)| {
            let trust = |model| self.resting.trust(name, model, route.lane, now);
            self.is_fresh(worker, now)
                && worker.takes(route)
                && worker.first_model(route).map(trust) == Some(Trust::Full)
        });
        able.map(|(name, _)| name)
    }

    /// A run on a route did not begin at a worker, to which it was leased at `leased_at`.
    pub fn failed_to_begin(
        &mut self,
        worker: &InstanceId,
        route: &Route,
        why: Unbegun,
        leased_at: TimestampMs,
        now: TimestampMs,
    ) {
        let capacity = self.all.get(worker);
        if let Some(model) = capacity.and_then(|capacity| capacity.first_model(route)) {
            self.resting.failed(worker, model, why, leased_at, now);
        }
    }

    /// A run on a route was read by a worker, to which it was leased at `leased_at`.
    pub fn reads(&mut self, worker: &InstanceId, route: &Route, leased_at: TimestampMs) {
        let capacity = self.all.get(worker);
        if let Some(model) = capacity.and_then(|capacity| capacity.first_model(route)) {
            self.resting.reads(worker, model, route.lane, leased_at);
        }
    }

    /// A run on a route has begun at a worker, to which it was leased at `leased_at`.
    pub fn works(&mut self, worker: &InstanceId, route: &Route, leased_at: TimestampMs) {
        let capacity = self.all.get(worker);
        if let Some(model) = capacity.and_then(|capacity| capacity.first_model(route)) {
            self.resting.works(worker, model, route.lane, leased_at);
        }
    }

    /// From now on a silence means something.
    pub fn lead(&mut self, now: TimestampMs) {
        self.since = now;
    }

    /// How long no worker has told that it takes what waits on a route, milliseconds.
    pub fn unserved_ms(&self, route: &Route, now: TimestampMs) -> i64 {
        let models = route.models.iter();
        let served = models.filter_map(|model| self.served_at.get(&(route.lane, model.clone())));
        now.since_ms(served.copied().max().unwrap_or_default().max(self.since))
    }

    /// How long no worker has told that it loads a model of a route either, milliseconds.
    pub fn unawaited_ms(&self, route: &Route, now: TimestampMs) -> i64 {
        let models = route.models.iter();
        let awaited = models.filter_map(|model| self.awaited_at.get(model)).copied();
        now.since_ms(awaited.max().unwrap_or_default().max(self.since))
            .min(self.unserved_ms(route, now))
    }

    /// The most that all workers hold at once.
    pub fn slots(&self) -> u64 {
        self.all.values().map(Capacity::slots).sum()
    }

    /// Forgets workers without a status since `before` on which no lease stands.
    pub fn forget_silent(&mut self, before: TimestampMs) {
        let resting = &mut self.resting;
        self.all.retain(|name, worker| {
            let stays = worker.seen_at >= before || worker.is_leased();
            if !stays {
                resting.forget(name);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests;
