//! Which pools a scheduler leads, as their statuses on the control seam tell. What is planned into a pool without one waits until
//! its deadline, and on a shared log no configuration says which process was to lead it: so whoever uses a pool looks, and says it
//! on the health board. It stays ready: other pools work, and a scheduler may come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_control::{Control, subjects};
use relay_schemas::PoolStatus;

use crate::health::Health;
use crate::runtime::Runtime;
use crate::status_watch::StatusWatch;

/// How long a pool's scheduler may be silent: longer than a standby takes to lead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says on the board, under `name`, which of `pools` no scheduler leads. Never returns.
pub fn watch_leaders(
    control: Arc<dyn Control>,
    runtime: Runtime,
    name: &'static str,
    pools: impl Fn() -> Vec<String>,
) -> impl Future<Output = ()> {
    let watch = StatusWatch::new(control, runtime);
    async move {
        let leaders = Mutex::new(Leaders::default());
        let mut told = None;
        let hears = |status: PoolStatus, now| leaders.lock().on_status(&status.pool, now);
        let looks = |health: &Health, now| {
            let pools = pools();
            let found = leaders.lock().look(pools, now);
            match &found {
                LeaderStatus::Unknown => {}
                LeaderStatus::Led => health.up(name),
                LeaderStatus::Unled(pools) => health.bypassed(name, reason(pools)),
            }
            if told.as_ref() != Some(&found) {
                match &found {
                    LeaderStatus::Unled(pools) => tracing::warn!("{}", reason(pools)),
                    LeaderStatus::Led if told.is_some() => {
                        tracing::info!("a scheduler leads each pool that is used here");
                    }
                    LeaderStatus::Led | LeaderStatus::Unknown => {}
                }
                told = Some(found);
            }
        };
        watch.run(subjects::pool_status("*"), hears, looks).await;
    }
}

fn reason(pools: &[String]) -> String {
    format!(
        "for {} s no scheduler has said that it leads pool {}: what is planned into it waits until its deadline; \
         name it in `scheduler.pools` of a scheduler that runs, or use another pool",
        PATIENCE.as_secs(),
        pools.join(", pool ")
    )
}

/// The pools that are watched.
#[derive(Debug, Default)]
struct Leaders(BTreeMap<String, Watched>);

#[derive(Debug)]
struct Watched {
    /// The last word of its scheduler, or when the watch began.
    at: Instant,
    /// Whether there was a word.
    heard: bool,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
enum LeaderStatus {
    /// Not every pool was heard of, and none was silent for long.
    Unknown,
    /// Each has a scheduler.
    Led,
    /// These have none.
    Unled(Vec<String>),
}

impl Leaders {
    fn on_status(&mut self, pool: &str, now: Instant) {
        if let Some(watched) = self.0.get_mut(pool) {
            *watched = Watched { at: now, heard: true };
        }
    }

    /// Watches `pools` and no others, and says how they are.
    fn look(&mut self, pools: Vec<String>, now: Instant) -> LeaderStatus {
        self.0.retain(|pool, _| pools.contains(pool));
        for pool in pools {
            self.0.entry(pool).or_insert(Watched {
                at: now,
                heard: false,
            });
        }
        let is_silent = |watched: &Watched| now.saturating_duration_since(watched.at) >= PATIENCE;
        let silent = self.0.iter().filter(|(_, watched)| is_silent(watched));
        let unled: Vec<String> = silent.map(|(pool, _)| pool.clone()).collect();
        if !unled.is_empty() {
            LeaderStatus::Unled(unled)
        } else if self.0.values().all(|watched| watched.heard) {
            LeaderStatus::Led
        } else {
            LeaderStatus::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_clock::Clock;
    use relay_control::{InProcessControl, InProcessOptions, send};
    use relay_schemas::TimestampMs;

    use super::*;
    use crate::status_watch::LOOK_EVERY;

    fn names(pools: &[&str]) -> Vec<String> {
        pools.iter().map(|pool| (*pool).to_owned()).collect()
    }

    #[test]
    fn a_pool_is_led_by_none_once_its_scheduler_was_silent_for_longer_than_a_takeover() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let mut leaders = Leaders::default();
        let look = |leaders: &mut Leaders, pools: &[&str]| leaders.look(names(pools), clock.instant());
        assert_eq!(look(&mut leaders, &["a", "b"]), LeaderStatus::Unknown);
        manual.advance(PATIENCE / 2);
        leaders.on_status("a", clock.instant());
        leaders.on_status("foreign", clock.instant());
        assert_eq!(look(&mut leaders, &["a", "b"]), LeaderStatus::Unknown);
        manual.advance(PATIENCE / 2);
        assert_eq!(
            look(&mut leaders, &["a", "b"]),
            LeaderStatus::Unled(names(&["b"]))
        );
        leaders.on_status("b", clock.instant());
        assert_eq!(look(&mut leaders, &["a", "b"]), LeaderStatus::Led);
        assert_eq!(
            look(&mut leaders, &["a", "new"]),
            LeaderStatus::Unknown,
            "a new policy"
        );
        manual.advance(PATIENCE);
        assert_eq!(
            look(&mut leaders, &["a", "new"]),
            LeaderStatus::Unled(names(&["a", "new"]))
        );
        assert_eq!(look(&mut leaders, &[]), LeaderStatus::Led);
    }

    fn runtime(clock: Clock, health: &Health) -> Runtime {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = relay_bus::testing::FaultyBus::with_topics(folder.path(), &["t"]);
        Runtime {
            clock,
            health: health.clone(),
            ..Runtime::new(Arc::new(bus))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_that_no_scheduler_leads_is_told_on_readyz_until_one_does() {
        let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let health = Health::default();
        let runtime = runtime(clock, &health);
        let watching = watch_leaders(control.clone(), runtime, "pool", || names(&["gpu"]));
        let watching = tokio::spawn(watching);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert!(health.told().is_empty(), "too early to tell");
        manual.advance(PATIENCE);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        let told = health.told()["pool"].clone();
        assert!(
            told.contains("pool gpu") && told.contains("`scheduler.pools`"),
            "{told}"
        );
        assert!(health.is_ready(), "other pools work");
        let status = PoolStatus {
            pool: "gpu".to_owned(),
            scheduler: "s".into(),
            epoch: 0,
            waiting_interactive: 0,
            waiting_batch: 0,
            batch_bytes: 0,
            batch_tenants: Vec::new(),
            running: 0,
            sent_at: TimestampMs(0),
        };
        send(&*control, &subjects::pool_status("gpu"), status)
            .await
            .expect("it is heard");
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert_eq!(health.told()["pool"], "ok");
        watching.abort();
    }
}
