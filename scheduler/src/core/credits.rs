//! What each worker can still take: slots, less what it holds, less what was dispatched to it and not yet seen.

use std::collections::{BTreeMap, HashSet};

use relay_schemas::{InstanceId, Lane, RequestId, TimestampMs, WorkerStatus};

use super::place::Route;

/// One worker, as its newest status tells it.
#[derive(Debug)]
pub struct Worker {
    /// Its epoch.
    epoch: i64,
    /// When it was last heard, our clock.
    heard_at: TimestampMs,
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

/// What a status changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Older than what is known.
    Stale,
    /// The same instance goes on.
    Same,
    /// The instance was started again: what it held is gone.
    Restarted,
}

/// Where a dispatch goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Seat {
    /// The worker.
    pub worker: InstanceId,
    /// Its epoch.
    pub epoch: i64,
    /// One of its partitions.
    pub partition: i32,
}

/// All workers of the pool.
#[derive(Debug, Default)]
pub struct Workers(BTreeMap<InstanceId, Worker>);

impl Worker {
    fn credit(&self, lane: Lane, now: TimestampMs, fresh_ms: i64) -> u32 {
        let at = lane as usize;
        if self.draining || self.partitions[at].is_empty() || now.since_ms(self.heard_at) > fresh_ms {
            return 0;
        }
        let used = self.leased[at].saturating_add(self.foreign.len() as u32);
        self.slots[at].saturating_sub(used)
    }
}

impl Workers {
    /// Takes a status in; `leased` tells how many leases of ours stand on it, a lane, and which requests they are.
    pub fn hear(&mut self, status: &WorkerStatus, now: TimestampMs) -> Heard {
        let known = self
            .0
            .get(&status.worker)
            .map(|worker| (worker.epoch, worker.seq));
        let heard = match known {
            Some((epoch, seq)) if (status.epoch, status.seq) <= (epoch, seq) => return Heard::Stale,
            Some((epoch, _)) if status.epoch > epoch => Heard::Restarted,
            _ => Heard::Same,
        };
        let leased = match heard {
            Heard::Same => self.0.get(&status.worker).map_or([0, 0], |worker| worker.leased),
            _ => [0, 0],
        };
        let worker = Worker {
            epoch: status.epoch,
            heard_at: now,
            seq: status.seq,
            models: status.models.clone(),
            partitions: [status.short_partitions.clone(), status.long_partitions.clone()],
            slots: [status.short_slots, status.long_slots],
            draining: status.draining,
            leased,
            foreign: HashSet::new(),
            turn: self.0.get(&status.worker).map_or(0, |worker| worker.turn),
        };
        self.0.insert(status.worker.clone(), worker);
        heard
    }

    /// Says what the worker holds that is no lease of ours.
    pub fn holds_foreign(&mut self, worker: &InstanceId, foreign: HashSet<RequestId>) {
        if let Some(worker) = self.0.get_mut(worker) {
            worker.foreign = foreign;
        }
    }

    /// Sets how many leases of ours stand on a worker (after a takeover, before which it was not known).
    pub fn set_leased(&mut self, worker: &InstanceId, leased: [u32; 2]) {
        if let Some(worker) = self.0.get_mut(worker) {
            worker.leased = leased;
        }
    }

    /// One lease more.
    pub fn lease(&mut self, worker: &InstanceId, epoch: i64, lane: Lane, id: &RequestId) {
        if let Some(worker) = self.0.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            worker.leased[lane as usize] += 1;
            worker.foreign.remove(id);
        }
    }

    /// One lease less.
    pub fn release(&mut self, worker: &InstanceId, epoch: i64, lane: Lane) {
        if let Some(worker) = self.0.get_mut(worker).filter(|worker| worker.epoch == epoch) {
            let leased = &mut worker.leased[lane as usize];
            *leased = leased.saturating_sub(1);
        }
    }

    /// The worker has ended a request that was no lease of ours.
    pub fn ended(&mut self, worker: &InstanceId, id: &RequestId) {
        if let Some(worker) = self.0.get_mut(worker) {
            worker.foreign.remove(id);
        }
    }

    /// The seat for a request: the first model that a worker with credit runs, there the worker with most credit.
    pub fn seat(&mut self, route: &Route, now: TimestampMs, fresh_ms: i64) -> Option<Seat> {
        let name = self.best(route, now, fresh_ms)?.clone();
        let worker = self.0.get_mut(&name).expect("just found");
        let partitions = &worker.partitions[route.lane as usize];
        worker.turn = worker.turn.wrapping_add(1);
        let partition = *partitions.get(worker.turn % partitions.len())?;
        Some(Seat {
            worker: name,
            epoch: worker.epoch,
            partition,
        })
    }

    /// Whether there is a seat for it.
    pub fn has_seat(&self, route: &Route, now: TimestampMs, fresh_ms: i64) -> bool {
        self.best(route, now, fresh_ms).is_some()
    }

    fn best(&self, route: &Route, now: TimestampMs, fresh_ms: i64) -> Option<&InstanceId> {
        route.models.iter().find_map(|model| {
            let able = self.0.iter().filter(|(_, worker)| worker.models.contains(model));
            let credits = able.map(|(name, worker)| (worker.credit(route.lane, now, fresh_ms), name));
            // `max_by_key` takes the last of equals; reversed names make it the first, for the same choice every time.
            let best = credits.filter(|(credit, _)| *credit > 0);
            best.max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)))
                .map(|(_, name)| name)
        })
    }

    /// Slots of all workers, both lanes.
    pub fn slots(&self) -> u64 {
        self.0
            .values()
            .map(|worker| worker.slots.iter().map(|slots| u64::from(*slots)).sum::<u64>())
            .sum()
    }

    /// Forgets workers not heard since `before` on which no lease stands.
    pub fn forget_silent(&mut self, before: TimestampMs) {
        self.0
            .retain(|_, worker| worker.heard_at >= before || worker.leased != [0, 0]);
    }
}
