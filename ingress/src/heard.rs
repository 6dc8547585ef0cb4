//! What workers and schedulers say of themselves: which models there are, and whether the batch class is full. Pure but for [`listen`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use relay_control::{Heard as Said, subjects};
use relay_schemas::{InstanceId, PoolStatus, Record, TimestampMs, WorkerStatus};

use crate::batch::Gate;
use crate::config::BatchConfig;
use crate::gateway::Gateway;

/// Most workers remembered; far above any cluster, so that a flood cannot fill the memory.
const MOST_WORKERS: usize = 4_096;

/// The newest of what was heard.
#[derive(Debug)]
pub struct Heard {
    stale_ms: i64,
    workers: HashMap<InstanceId, Worker>,
    /// Whether batch lines may come in.
    pub gate: Gate,
}

#[derive(Debug)]
struct Worker {
    epoch: i64,
    models: Vec<String>,
    heard_at: TimestampMs,
}

impl Heard {
    /// Nothing heard yet.
    pub fn new(stale_ms: i64, batch: &BatchConfig) -> Self {
        Self {
            stale_ms,
            workers: HashMap::new(),
            gate: Gate::new(batch),
        }
    }

    /// A worker's status arrived.
    pub fn on_worker(&mut self, status: WorkerStatus, now: TimestampMs) {
        let stale_ms = self.stale_ms;
        if self.workers.len() >= MOST_WORKERS {
            self.workers
                .retain(|_, worker| now.since_ms(worker.heard_at) < stale_ms);
        }
        let known = self.workers.get(&status.worker);
        let outdated = known.is_some_and(|worker| worker.epoch > status.epoch);
        let room = known.is_some() || self.workers.len() < MOST_WORKERS;
        if room && !outdated {
            let worker = Worker {
                epoch: status.epoch,
                models: status.models,
                heard_at: now,
            };
            self.workers.insert(status.worker, worker);
        }
    }

    /// Every model that a live worker runs, with the start of the oldest such worker, seconds since 1970.
    pub fn models(&self, now: TimestampMs) -> BTreeMap<String, i64> {
        let mut models = BTreeMap::new();
        for worker in self.workers.values() {
            if now.since_ms(worker.heard_at) >= self.stale_ms {
                continue;
            }
            for model in &worker.models {
                let created = worker.epoch / 1_000;
                models
                    .entry(model.clone())
                    .and_modify(|first: &mut i64| *first = created.min(*first))
                    .or_insert(created);
            }
        }
        models
    }
}

/// Listens to workers and schedulers. Never returns; dropped at the end.
pub async fn listen(gateway: Arc<Gateway>) {
    let workers = hear::<WorkerStatus>(&gateway, subjects::worker_status("*"), |heard, status, now| {
        heard.on_worker(status, now);
    });
    let pools = hear::<PoolStatus>(&gateway, subjects::pool_status("*"), |heard, status, now| {
        heard.gate.on_status(&status, now);
    });
    tokio::join!(workers, pools);
}

async fn hear<T: Record>(gateway: &Gateway, subject: String, take: impl Fn(&mut Heard, T, TimestampMs)) {
    loop {
        match relay_control::listen::<T>(&*gateway.control, &subject).await {
            Ok(mut listener) => {
                while let Some(said) = listener.next().await {
                    // Statuses are absolute: a lost one costs freshness only.
                    if let Said::Message(status) = said {
                        take(&mut gateway.heard.lock(), status, TimestampMs::now());
                    }
                }
            }
            Err(error) => tracing::debug!(messaging.subject = subject, %error, "cannot listen; trying again"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
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
            seq: 0,
            short_partitions: Vec::new(),
            long_partitions: Vec::new(),
            short_slots: 1,
            long_slots: 1,
            in_flight: Vec::new(),
            draining: false,
            sent_at: TimestampMs(0),
        }
    }

    #[test]
    fn models_come_from_live_workers_and_go_with_them() {
        let mut heard = Heard::new(5_000, &BatchConfig::default());
        heard.on_worker(status("a", 7_000, &["tiny", "big"]), TimestampMs(0));
        heard.on_worker(status("b", 3_000, &["tiny"]), TimestampMs(2_000));
        let names = |heard: &Heard, at| heard.models(TimestampMs(at)).into_iter().collect::<Vec<_>>();
        assert_eq!(
            names(&heard, 4_999),
            [("big".to_owned(), 7), ("tiny".to_owned(), 3)]
        );
        assert_eq!(names(&heard, 5_000), [("tiny".to_owned(), 3)]);
    }

    #[test]
    fn a_late_status_of_a_worker_s_predecessor_is_passed_over() {
        let mut heard = Heard::new(5_000, &BatchConfig::default());
        heard.on_worker(status("a", 2_000, &["new"]), TimestampMs(0));
        heard.on_worker(status("a", 1_000, &["old"]), TimestampMs(1));
        assert_eq!(
            heard.models(TimestampMs(2)).into_keys().collect::<Vec<_>>(),
            ["new"]
        );
    }
}
