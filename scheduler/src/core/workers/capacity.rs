//! What one worker can still take, as its newest status tells it.
//!
//! A lease takes a slot of its lane and a turn of its model: the first of its route that is ready here, as that is the one with
//! which the worker begins. Whatever binds first decides, so that nothing waits for a turn behind the scheduler's back.

use std::collections::HashSet;

use relay_schemas::{Lane, ModelState, RequestId, TimestampMs, WorkerStatus};

use crate::core::queues::Route;

/// A model that is ready on a worker.
#[derive(Debug)]
struct Model {
    name: String,
    /// Turns of both lanes together, and how many of these the long lane may take.
    slots: u32,
    long_slots: u32,
    /// Our leases on it, a lane.
    leased: [u32; 2],
}

impl Model {
    /// Whether it takes requests of a lane, now or when a turn is free. One that is ready and of which nothing is left works:
    /// runs that began with another model have its turns.
    fn takes(&self, lane: Lane) -> bool {
        self.slots == 0 || lane == Lane::Short || self.long_slots > 0
    }

    /// Turns that are free, where `foreign` runs stand somewhere on the worker.
    fn free(&self, lane: Lane, foreign: u32) -> u32 {
        let [short, long] = self.leased;
        let free = self.slots.saturating_sub(short.saturating_add(long));
        let free = match lane {
            Lane::Short => free,
            Lane::Long => free.min(self.long_slots.saturating_sub(long)),
        };
        free.saturating_sub(foreign)
    }
}

/// One worker, as its newest status tells it.
#[derive(Debug)]
pub struct Capacity {
    pub epoch: i64,
    /// When its status came, our clock.
    pub seen_at: TimestampMs,
    pub seq: i64,
    /// Those that are ready.
    models: Vec<Model>,
    /// Those that are on their way into memory.
    loading: Vec<String>,
    pub partitions: [Vec<i32>; 2],
    slots: [u32; 2],
    draining: bool,
    /// Our leases on it, a lane.
    leased: [u32; 2],
    /// What it holds that is no lease of ours; counted against both lanes and all models, since nothing says which.
    foreign: HashSet<RequestId>,
    pub turn: usize,
}

impl Capacity {
    /// A worker that holds nothing.
    pub fn of(status: &WorkerStatus, seen_at: TimestampMs, turn: usize) -> Self {
        let loading = status
            .capacity
            .iter()
            .filter(|it| it.state == ModelState::Loading);
        Self {
            epoch: status.epoch,
            seen_at,
            seq: status.seq,
            models: models(status),
            loading: loading.map(|it| it.model.clone()).collect(),
            partitions: [status.short_partitions.clone(), status.long_partitions.clone()],
            slots: [status.short_slots, status.long_slots],
            draining: status.draining,
            leased: [0, 0],
            foreign: HashSet::new(),
            turn,
        }
    }

    /// What it holds: leases of ours, by route, and what is none.
    pub fn reconcile<'a>(&mut self, leased: impl Iterator<Item = &'a Route>, foreign: HashSet<RequestId>) {
        self.leased = [0, 0];
        for model in &mut self.models {
            model.leased = [0, 0];
        }
        self.foreign = foreign;
        for route in leased {
            self.lease(route);
        }
    }

    /// One lease more.
    pub fn lease(&mut self, route: &Route) {
        let lane = route.lane as usize;
        self.leased[lane] += 1;
        if let Some(at) = self.begins_with(route) {
            self.models[at].leased[lane] += 1;
        }
    }

    /// One lease less.
    pub fn release(&mut self, route: &Route) {
        let lane = route.lane as usize;
        self.leased[lane] = self.leased[lane].saturating_sub(1);
        if let Some(at) = self.begins_with(route) {
            let leased = &mut self.models[at].leased[lane];
            *leased = leased.saturating_sub(1);
        }
    }

    /// A request that was no lease of ours has ended, or is one now.
    pub fn no_longer_foreign(&mut self, id: &RequestId) {
        self.foreign.remove(id);
    }

    /// Whether a lease of ours stands on it.
    pub fn is_leased(&self) -> bool {
        self.leased != [0, 0]
    }

    /// Where the model stands with which it begins what waits on a route.
    fn begins_with(&self, route: &Route) -> Option<usize> {
        let mut models = route.models.iter();
        models.find_map(|model| self.models.iter().position(|known| known.name == *model))
    }

    /// The model with which it begins what waits on a route.
    pub fn first_model(&self, route: &Route) -> Option<&str> {
        let at = self.begins_with(route)?;
        Some(&self.models[at].name)
    }

    /// Whether a lease of ours stands on that model.
    pub fn turns_any(&self, route: &Route) -> bool {
        self.begins_with(route)
            .is_some_and(|at| self.models[at].leased != [0, 0])
    }

    /// Whether it takes requests of a lane, now or when a slot is free. Where nothing is left of any model, nothing is left of its
    /// lanes either.
    fn takes_lane(&self, lane: Lane) -> bool {
        let at = lane as usize;
        let has_slots = self.slots[at] > 0 || self.models.iter().all(|model| model.slots == 0);
        !self.draining && !self.partitions[at].is_empty() && has_slots
    }

    /// Whether it takes what waits on a route at all, now or when a slot is free.
    pub fn takes(&self, route: &Route) -> bool {
        self.takes_lane(route.lane)
            && self
                .begins_with(route)
                .is_some_and(|at| self.models[at].takes(route.lane))
    }

    /// The models of which it takes requests of a lane at all, now or when a slot is free.
    pub fn taken(&self, lane: Lane) -> impl Iterator<Item = &str> {
        let models = self.models.iter().filter(move |model| model.takes(lane));
        let takes = self.takes_lane(lane);
        models.filter(move |_| takes).map(|model| model.name.as_str())
    }

    /// The models that it will take once they are loaded.
    pub fn loading(&self) -> impl Iterator<Item = &str> {
        let loading = self.loading.iter().filter(|_| !self.draining);
        loading.map(String::as_str)
    }

    /// Requests of a route that it can take now.
    pub fn credit(&self, route: &Route) -> u32 {
        let (lane, foreign) = (route.lane, self.foreign.len() as u32);
        let Some(model) = self.begins_with(route).map(|at| &self.models[at]) else {
            return 0;
        };
        if !self.takes_lane(lane) {
            return 0;
        }
        let at = lane as usize;
        let used = self.leased[at].saturating_add(foreign);
        self.slots[at].saturating_sub(used).min(model.free(lane, foreign))
    }

    /// The most that it holds at once.
    pub fn slots(&self) -> u64 {
        let lanes: u64 = self.slots.iter().copied().map(u64::from).sum();
        let models = self.models.iter().map(|model| u64::from(model.slots));
        lanes.min(models.sum())
    }
}

/// The models that are ready. A version that does not tell what they turn is bound by its lanes alone.
fn models(status: &WorkerStatus) -> Vec<Model> {
    if status.capacity.is_empty() {
        let unbound = |name: &String| Model {
            name: name.clone(),
            slots: u32::MAX,
            long_slots: u32::MAX,
            leased: [0, 0],
        };
        return status.models.iter().map(unbound).collect();
    }
    let ready = status.capacity.iter().filter(|it| it.state == ModelState::Ready);
    let model = |it: &relay_schemas::ModelStatus| Model {
        name: it.model.clone(),
        slots: it.slots,
        long_slots: it.long_slots,
        leased: [0, 0],
    };
    ready.map(model).collect()
}
