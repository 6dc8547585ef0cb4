//! What each worker can still take: slots, less what it holds, less what was dispatched to it and not yet seen.
//!
//! Invariant: `leased` counts our leases on the present epoch of a worker, a lane; nothing is assigned beyond its slots.

use std::collections::{BTreeMap, HashMap, HashSet};

use relay_schemas::{InstanceId, Lane, RequestId, TimestampMs, WorkerStatus};

use super::queues::Route;

/// One worker, as its newest status tells it.
#[derive(Debug)]
struct Capacity {
    epoch: i64,
    /// When its status came, our clock.
    seen_at: TimestampMs,
    seq: i64,
    models: Vec<String>,
    partitions: [Vec<i32>; 2],
    slots: [u32; 2],
    draining: bool,
    /// Our leases on it, a lane.
    leased: [u32; 2],
    /// What it holds that is no lease of ours; counted against both lanes, since nothing says which.
    foreign: HashSet<RequestId>,
    turn: usize,
}

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
    /// Before that nothing was listened to.
    since: TimestampMs,
}

impl Capacity {
    /// Whether it takes requests of this lane at all, now or when a slot is free.
    fn takes(&self, lane: Lane) -> bool {
        let at = lane as usize;
        !self.draining && !self.partitions[at].is_empty() && self.slots[at] > 0
    }

    fn credit(&self, lane: Lane, now: TimestampMs, fresh_ms: i64) -> u32 {
        let at = lane as usize;
        if !self.takes(lane) || now.since_ms(self.seen_at) > fresh_ms {
            return 0;
        }
        let used = self.leased[at].saturating_add(self.foreign.len() as u32);
        self.slots[at].saturating_sub(used)
    }
}

impl Workers {
    /// No workers; a status will vouch for its worker for `fresh_ms`.
    pub fn new(fresh_ms: i64) -> Self {
        Self {
            fresh_ms,
            all: BTreeMap::new(),
            served_at: HashMap::new(),
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
        let leased = match update {
            Update::SameInstance => known.map_or([0, 0], |known| known.leased),
            Update::Restarted | Update::Stale => [0, 0],
        };
        let capacity = Capacity {
            epoch: status.epoch,
            seen_at: now,
            seq: status.seq,
            models: status.models.clone(),
            partitions: [status.short_partitions.clone(), status.long_partitions.clone()],
            slots: [status.short_slots, status.long_slots],
            draining: status.draining,
            leased,
            foreign: HashSet::new(),
            turn: known.map_or(0, |known| known.turn),
        };
        for lane in [Lane::Short, Lane::Long] {
            if capacity.takes(lane) {
                let models = capacity.models.iter().cloned();
                self.served_at.extend(models.map(|model| ((lane, model), now)));
            }
        }
        self.all.insert(status.worker.clone(), capacity);
        update
    }

    /// Says what a worker holds, as its status shows it: how many leases of ours, a lane, and which requests that are none.
    pub fn reconcile(&mut self, worker: &InstanceId, leased: [u32; 2], foreign: HashSet<RequestId>) {
        if let Some(worker) = self.all.get_mut(worker) {
            worker.leased = leased;
            worker.foreign = foreign;
        }
    }

    /// One lease more.
    pub fn lease(&mut self, worker: &InstanceId, epoch: i64, lane: Lane, id: &RequestId) {
        if let Some(worker) = self.all.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            worker.leased[lane as usize] += 1;
            worker.foreign.remove(id);
        }
    }

    /// One lease less.
    pub fn release(&mut self, worker: &InstanceId, epoch: i64, lane: Lane) {
        if let Some(worker) = self.all.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            let leased = &mut worker.leased[lane as usize];
            *leased = leased.saturating_sub(1);
        }
    }

    /// The worker has ended a request that was no lease of ours.
    pub fn ended(&mut self, worker: &InstanceId, id: &RequestId) {
        if let Some(worker) = self.all.get_mut(worker) {
            worker.foreign.remove(id);
        }
    }

    /// Assigns a worker: one that runs the first model for which a worker has credit, there the one with most credit.
    pub fn assign(&mut self, route: &Route, now: TimestampMs) -> Option<Assignment> {
        let name = self.best(route, now)?.clone();
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

    /// Whether a live worker takes what waits on a route, now or when a slot is free.
    pub fn serves(&self, route: &Route, now: TimestampMs) -> bool {
        self.all.values().any(|worker| {
            worker.takes(route.lane)
                && now.since_ms(worker.seen_at) <= self.fresh_ms
                && route.models.iter().any(|model| worker.models.contains(model))
        })
    }

    fn best(&self, route: &Route, now: TimestampMs) -> Option<&InstanceId> {
        route.models.iter().find_map(|model| {
            let able = self
                .all
                .iter()
                .filter(|(_, worker)| worker.models.contains(model));
            let credits = able.map(|(name, worker)| (worker.credit(route.lane, now, self.fresh_ms), name));
            // `max_by` takes the last of equals; reversed names make it the first, for the same choice every time.
            let best = credits.filter(|(credit, _)| *credit > 0);
            best.max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)))
                .map(|(_, name)| name)
        })
    }

    /// From now on a silence means something.
    pub fn lead(&mut self, now: TimestampMs) {
        self.since = now;
    }

    /// The clock was set back to `now`: what was heard after that counts as heard now.
    pub fn set_back(&mut self, now: TimestampMs) {
        self.since = self.since.min(now);
        for worker in self.all.values_mut() {
            worker.seen_at = worker.seen_at.min(now);
        }
        for served_at in self.served_at.values_mut() {
            *served_at = (*served_at).min(now);
        }
    }

    /// The clock was set forward: what was heard was heard so much later.
    pub fn set_forward(&mut self, by_ms: i64) {
        self.since = self.since.plus_ms(by_ms);
        for worker in self.all.values_mut() {
            worker.seen_at = worker.seen_at.plus_ms(by_ms);
        }
        for served_at in self.served_at.values_mut() {
            *served_at = served_at.plus_ms(by_ms);
        }
    }

    /// How long no worker has told that it takes what waits on a route, milliseconds.
    pub fn unserved_ms(&self, route: &Route, now: TimestampMs) -> i64 {
        let models = route.models.iter();
        let served = models.filter_map(|model| self.served_at.get(&(route.lane, model.clone())));
        now.since_ms(served.copied().max().unwrap_or_default().max(self.since))
    }

    /// Slots of all workers, both lanes.
    pub fn slots(&self) -> u64 {
        let slots = self.all.values().flat_map(|worker| worker.slots);
        slots.map(u64::from).sum()
    }

    /// Forgets workers without a status since `before` on which no lease stands.
    pub fn forget_silent(&mut self, before: TimestampMs) {
        self.all
            .retain(|_, worker| worker.seen_at >= before || worker.leased != [0, 0]);
    }
}

#[cfg(test)]
mod tests;
