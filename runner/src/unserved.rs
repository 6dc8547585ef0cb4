//! Which of the models that are planned for a live worker runs, as workers' statuses on the control seam tell. What waits for one that
//! none runs ends after a grace, and no configuration says where its worker was to be: so whoever plans for it says it on the health
//! board. It stays ready: other models are served, and a worker may come.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_control::{Control, subjects};
use relay_schemas::{ModelState, WorkerStatus};

use crate::health::Health;
use crate::runtime::Runtime;
use crate::status_watch::StatusWatch;

/// How long a model may be without a worker: longer than one takes to start.
const GRACE: Duration = Duration::from_secs(10);
/// What a worker said longer ago says nothing of what it does now.
const STALE: Duration = Duration::from_secs(5);

/// Most models that are told by name.
const MOST_TOLD: usize = 8;

/// A model, and a pool in which it is planned to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedModel {
    /// The pool.
    pub pool: String,
    /// The name under which its workers run it.
    pub model: String,
}

/// Says on the board, under `name`, which of `models` no live worker runs. Never returns.
pub fn watch_models(
    control: Arc<dyn Control>,
    runtime: Runtime,
    name: &'static str,
    models: impl Fn() -> Vec<PlannedModel>,
) -> impl Future<Output = ()> {
    let statuses = StatusWatch::new(control, runtime);
    async move {
        let watch = Mutex::new(Watch::default());
        let mut told = Vec::new();
        let hears = |status: WorkerStatus, now| watch.lock().on_status(&status, now);
        let looks = |health: &Health, now| {
            let unserved = watch.lock().look(models(), now);
            if unserved.is_empty() {
                health.up(name);
            } else {
                health.degraded(name, reason(&unserved));
            }
            let names: Vec<PlannedModel> = unserved.iter().map(|model| model.of.clone()).collect();
            if names != told {
                if names.is_empty() {
                    tracing::info!("a live worker runs each model that is planned for");
                } else {
                    tracing::warn!("{}", reason(&unserved));
                }
                told = names;
            }
        };
        statuses.run(subjects::worker_status("*"), hears, looks).await;
    }
}

fn reason(unserved: &[Unserved]) -> String {
    let mut text = String::from("no live worker runs ");
    for (index, Unserved { of, seconds, said }) in unserved.iter().take(MOST_TOLD).enumerate() {
        let PlannedModel { pool, model } = of;
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}model `{model}` of pool `{pool}` (for {seconds} s");
        text.push_str(match said {
            Some(ModelState::Loading) => "; a worker is loading it)",
            Some(ModelState::Failed) => "; a worker could not load it)",
            Some(ModelState::Ready) | None => ")",
        });
    }
    if let Some(more @ 1..) = unserved.len().checked_sub(MOST_TOLD) {
        let _ = write!(text, " and {more} more");
    }
    text.push_str(
        ": requests for it go to the pool that its plan names next, or end as `no_worker`; start a worker that has it, or take it out \
         of the policy",
    );
    text
}

/// The models that are watched.
#[derive(Debug, Default)]
struct Watch(BTreeMap<PlannedModel, Watched>);

#[derive(Debug)]
struct Watched {
    /// When a worker last said that it runs it, or when the watch began.
    served_at: Instant,
    /// What the last worker said that does not run it, and when.
    said: Option<(ModelState, Instant)>,
}

/// A model that no live worker runs.
#[derive(Debug, PartialEq, Eq)]
struct Unserved {
    of: PlannedModel,
    seconds: u64,
    said: Option<ModelState>,
}

impl Watch {
    fn on_status(&mut self, status: &WorkerStatus, now: Instant) {
        for declared in &status.capacity {
            if let Some(watched) = self.watched(&status.pool, &declared.model) {
                watched.said = Some((declared.state, now));
            }
        }
        // One that drains takes nothing any more.
        for model in status.models.iter().filter(|_| !status.draining) {
            if let Some(watched) = self.watched(&status.pool, model) {
                watched.served_at = now;
            }
        }
    }

    fn watched(&mut self, pool: &str, model: &str) -> Option<&mut Watched> {
        let (pool, model) = (pool.to_owned(), model.to_owned());
        self.0.get_mut(&PlannedModel { pool, model })
    }

    /// Watches `models` and no others; says which of them have been without a worker for longer than the grace.
    fn look(&mut self, models: Vec<PlannedModel>, now: Instant) -> Vec<Unserved> {
        self.0.retain(|known, _| models.contains(known));
        for model in models {
            self.0.entry(model).or_insert(Watched {
                served_at: now,
                said: None,
            });
        }
        let age = |at: Instant| now.saturating_duration_since(at);
        let unserved = self
            .0
            .iter()
            .filter(|(_, watched)| age(watched.served_at) >= GRACE);
        let unserved = unserved.map(|(of, watched)| Unserved {
            of: of.clone(),
            seconds: age(watched.served_at).as_secs(),
            said: watched
                .said
                .filter(|(_, at)| age(*at) < STALE)
                .map(|(state, _)| state),
        });
        unserved.collect()
    }
}

#[cfg(test)]
mod tests {
    use relay_clock::Clock;
    use relay_control::{InProcessControl, InProcessOptions, send};
    use relay_schemas::{ModelStatus, TimestampMs};

    use super::*;
    use crate::status_watch::LOOK_EVERY;

    fn planned(pool: &str, model: &str) -> PlannedModel {
        let (pool, model) = (pool.to_owned(), model.to_owned());
        PlannedModel { pool, model }
    }

    fn status(pool: &str, models: &[&str], capacity: Vec<ModelStatus>, draining: bool) -> WorkerStatus {
        WorkerStatus {
            worker: "w".into(),
            epoch: 1,
            pool: pool.to_owned(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            capacity,
            seq: 0,
            short_partitions: Vec::new(),
            long_partitions: Vec::new(),
            short_slots: 1,
            long_slots: 1,
            in_flight: Vec::new(),
            returned: Vec::new(),
            draining,
            sent_at: TimestampMs(0),
        }
    }

    fn is(model: &str, state: ModelState) -> ModelStatus {
        ModelStatus {
            model: model.to_owned(),
            state,
            slots: 0,
            long_slots: 0,
        }
    }

    #[test]
    fn a_model_is_told_with_its_pool_once_no_worker_has_run_it_for_the_grace() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let mut watch = Watch::default();
        let all = || vec![planned("gpu", "big"), planned("gpu", "small")];
        assert_eq!(watch.look(all(), clock.instant()), []);
        manual.advance(GRACE / 2);
        watch.on_status(&status("gpu", &["small"], Vec::new(), false), clock.instant());
        watch.on_status(&status("cpu", &["big"], Vec::new(), false), clock.instant());
        assert_eq!(watch.look(all(), clock.instant()), [], "a worker may be starting");
        manual.advance(GRACE / 2);
        let unserved = watch.look(all(), clock.instant());
        let big = Unserved {
            of: planned("gpu", "big"),
            seconds: 10,
            said: None,
        };
        assert_eq!(unserved, [big]);
        assert!(
            reason(&unserved).contains("model `big` of pool `gpu` (for 10 s)"),
            "{}",
            reason(&unserved)
        );
        watch.on_status(&status("gpu", &["big"], Vec::new(), true), clock.instant());
        assert_eq!(
            watch.look(all(), clock.instant()).len(),
            1,
            "one that drains takes nothing"
        );
        watch.on_status(&status("gpu", &["big"], Vec::new(), false), clock.instant());
        assert_eq!(watch.look(all(), clock.instant()), []);
        manual.advance(GRACE);
        assert_eq!(
            watch.look(vec![planned("gpu", "new")], clock.instant()),
            [],
            "another policy"
        );
    }

    #[test]
    fn it_is_told_what_a_worker_does_with_a_model_that_it_does_not_run() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let mut watch = Watch::default();
        let all = || vec![planned("gpu", "loads"), planned("gpu", "fails")];
        watch.look(all(), clock.instant());
        manual.advance(GRACE * 3);
        let capacity = vec![is("loads", ModelState::Loading), is("fails", ModelState::Failed)];
        watch.on_status(&status("gpu", &[], capacity, false), clock.instant());
        let told = reason(&watch.look(all(), clock.instant()));
        assert!(
            told.contains("`loads` of pool `gpu` (for 30 s; a worker is loading it)"),
            "{told}"
        );
        assert!(
            told.contains("`fails` of pool `gpu` (for 30 s; a worker could not load it)"),
            "{told}"
        );
        manual.advance(STALE);
        let told = reason(&watch.look(all(), clock.instant()));
        assert!(told.contains("`loads` of pool `gpu` (for 35 s)"), "{told}");
    }

    #[test]
    fn many_models_are_counted_beyond_the_first_few() {
        let one = |number: usize| Unserved {
            of: planned("gpu", &number.to_string()),
            seconds: 10,
            said: None,
        };
        let told = |count| reason(&(0..count).map(one).collect::<Vec<_>>());
        assert!(!told(MOST_TOLD).contains("more"), "{}", told(MOST_TOLD));
        assert!(
            told(MOST_TOLD + 3).contains(" and 3 more:"),
            "{}",
            told(MOST_TOLD + 3)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_that_no_live_worker_runs_is_told_on_readyz_which_stays_ready() {
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let health = Health::default();
        let models = || vec![planned("gpu", "big")];
        let folder = tempfile::tempdir().expect("a folder");
        let bus = relay_bus::testing::FaultyBus::with_topics(folder.path(), &["t"]);
        let runtime = Runtime {
            clock,
            health: health.clone(),
            ..Runtime::new(Arc::new(bus))
        };
        let watching = tokio::spawn(watch_models(control.clone(), runtime, "models", models));
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(health.told()["models"], "ok", "a worker may be starting");
        manual.advance(GRACE);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        let told = health.told()["models"].clone();
        assert!(
            told.starts_with("degraded: no live worker runs model `big` of pool `gpu`"),
            "{told}"
        );
        assert!(health.is_ready(), "other models are served");
        let status = status("gpu", &["big"], Vec::new(), false);
        send(&*control, &subjects::worker_status("gpu"), status)
            .await
            .expect("it is heard");
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(health.told()["models"], "ok");
        watching.abort();
    }
}
