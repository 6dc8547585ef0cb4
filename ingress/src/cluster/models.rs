//! Which models the workers that are heard run. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use relay_clock::millis;
use relay_schemas::{InstanceId, TimestampMs, WorkerStatus};

/// Most workers remembered; far above any cluster, so that a flood cannot fill the memory.
const MOST_WORKERS: usize = 4_096;

/// The newest status of every worker.
#[derive(Debug)]
pub struct Models {
    stale_ms: i64,
    workers: HashMap<InstanceId, WorkerModels>,
}

#[derive(Debug)]
struct WorkerModels {
    epoch: i64,
    pool: String,
    models: Vec<String>,
    draining: bool,
    heard_at: TimestampMs,
}

impl Models {
    /// No worker is known yet; a status counts until it is `stale_after` old.
    pub fn new(stale_after: Duration) -> Self {
        Self {
            stale_ms: millis(stale_after),
            workers: HashMap::new(),
        }
    }

    /// A worker's status arrived.
    pub fn on_status(&mut self, status: WorkerStatus, now: TimestampMs) {
        let stale_ms = self.stale_ms;
        if self.workers.len() >= MOST_WORKERS {
            self.workers
                .retain(|_, worker| now.since_ms(worker.heard_at) < stale_ms);
        }
        let known = self.workers.get(&status.worker);
        // A worker that was started again after a clock was set back has a smaller epoch than the one before it, which is gone.
        let is_live = |worker: &WorkerModels| now.since_ms(worker.heard_at) < stale_ms;
        let outdated = known.is_some_and(|worker| worker.epoch > status.epoch && is_live(worker));
        let room = known.is_some() || self.workers.len() < MOST_WORKERS;
        if room && !outdated {
            let worker = WorkerModels {
                epoch: status.epoch,
                pool: status.pool,
                models: status.models,
                draining: status.draining,
                heard_at: now,
            };
            self.workers.insert(status.worker, worker);
        }
    }

    /// Every model that a live worker runs, with the pools in which one does.
    pub fn pools(&self, now: TimestampMs) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut pools = BTreeMap::<_, BTreeSet<_>>::new();
        for worker in self.workers.values() {
            if now.since_ms(worker.heard_at) < self.stale_ms {
                for model in &worker.models {
                    pools
                        .entry(model.as_str())
                        .or_default()
                        .insert(worker.pool.as_str());
                }
            }
        }
        pools
    }

    /// Every pool and model in it that a live worker takes requests for, with the start of the oldest such worker, seconds since 1970.
    pub fn live(&self, now: TimestampMs) -> BTreeMap<(&str, &str), i64> {
        let mut models = BTreeMap::new();
        let workers = self.workers.values();
        for worker in
            workers.filter(|worker| now.since_ms(worker.heard_at) < self.stale_ms && !worker.draining)
        {
            for model in &worker.models {
                let created = worker.epoch / 1_000;
                models
                    .entry((worker.pool.as_str(), model.as_str()))
                    .and_modify(|first: &mut i64| *first = created.min(*first))
                    .or_insert(created);
            }
        }
        models
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(worker: &str, epoch: i64, models: &[&str]) -> WorkerStatus {
        WorkerStatus {
            worker: worker.into(),
            epoch,
            pool: "default".to_owned(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            capacity: Vec::new(),
            seq: 0,
            short_partitions: Vec::new(),
            long_partitions: Vec::new(),
            short_slots: 1,
            long_slots: 1,
            in_flight: Vec::new(),
            returned: Vec::new(),
            draining: false,
            sent_at: TimestampMs(0),
        }
    }

    #[test]
    fn models_come_from_live_workers_and_go_with_them() {
        let mut models = Models::new(Duration::from_secs(5));
        models.on_status(status("a", 7_000, &["tiny", "big"]), TimestampMs(0));
        models.on_status(status("b", 3_000, &["tiny"]), TimestampMs(2_000));
        let (big, tiny) = (("default", "big"), ("default", "tiny"));
        assert_eq!(
            models.live(TimestampMs(4_999)),
            BTreeMap::from([(big, 7), (tiny, 3)])
        );
        assert_eq!(models.live(TimestampMs(5_000)), BTreeMap::from([(tiny, 3)]));
        let default = BTreeSet::from(["default"]);
        assert_eq!(models.pools(TimestampMs(4_999))["tiny"], default);
        assert_eq!(models.pools(TimestampMs(5_000)), [("tiny", default)].into());
    }

    #[test]
    fn a_late_status_of_a_worker_s_predecessor_is_passed_over() {
        let mut models = Models::new(Duration::from_secs(5));
        models.on_status(status("a", 2_000, &["new"]), TimestampMs(0));
        models.on_status(status("a", 1_000, &["old"]), TimestampMs(1));
        assert_eq!(
            models.live(TimestampMs(2)).into_keys().collect::<Vec<_>>(),
            [("default", "new")]
        );
    }

    #[test]
    fn a_worker_that_drains_takes_nothing_any_more() {
        let mut models = Models::new(Duration::from_secs(5));
        let drains = WorkerStatus {
            draining: true,
            ..status("a", 2_000, &["tiny"])
        };
        models.on_status(drains, TimestampMs(0));
        assert_eq!(models.live(TimestampMs(1)), BTreeMap::new());
    }

    /// By reading: its models were missing until the clock had caught up.
    #[test]
    fn a_worker_that_was_started_again_under_a_smaller_epoch_counts_once_its_predecessor_is_silent() {
        let mut models = Models::new(Duration::from_secs(5));
        models.on_status(status("a", 2_000, &["old"]), TimestampMs(0));
        models.on_status(status("a", 1_000, &["new"]), TimestampMs(4_999));
        let counts = |models: &Models| models.pools(TimestampMs(5_000)).contains_key("new");
        assert!(!counts(&models));
        models.on_status(status("a", 1_000, &["new"]), TimestampMs(5_000));
        assert!(counts(&models));
    }
}
