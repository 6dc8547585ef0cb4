//! Tells `/readyz` which models of a process are missing. A process that has one serves it: the others are told and keep it from
//! nothing. Its workers, one a pool, share the board.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::Health;

/// As `/readyz` names it.
const DEPENDENCY: &str = "models";

/// How long a process that has a model waits for the others to load before it calls itself ready without them.
const LOAD_PATIENCE: Duration = Duration::from_mins(1);

/// See the module.
pub struct Board {
    health: Health,
    clock: Clock,
    began: Instant,
    /// How many are declared.
    declared: usize,
    loading: Mutex<Vec<String>>,
    failed: Mutex<BTreeMap<String, String>>,
    /// Whether it is said that the patience with what loads is over.
    is_over: AtomicBool,
}

/// How a model is called on the board: with its pool, where the process has several.
pub fn name(model: &str, pool: Option<&str>) -> String {
    pool.map_or_else(|| model.to_owned(), |pool| format!("{model} (pool {pool})"))
}

impl Board {
    /// None of these is loaded yet.
    pub fn new(names: Vec<String>, health: Health, clock: Clock) -> Self {
        Self {
            began: clock.instant(),
            health,
            clock,
            declared: names.len(),
            loading: Mutex::new(names),
            failed: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Time has passed.
    pub fn look(&self) {
        let over = self.clock.since(self.began) >= LOAD_PATIENCE;
        if over && !self.is_over.swap(true, Ordering::AcqRel) {
            self.report();
        }
    }

    /// A model is loaded, or the reason why it cannot be used.
    pub fn settle(&self, name: &str, failed: Option<String>) {
        if let Some(reason) = failed {
            self.failed.lock().insert(name.to_owned(), reason);
        }
        self.loading.lock().retain(|other| other != name);
        self.report();
    }

    /// One at a time: what is said last is so.
    fn report(&self) {
        let loading = self.loading.lock();
        let failed = self.failed.lock();
        let mut missing: Vec<String> = failed
            .iter()
            .map(|(name, reason)| format!("failed {name}: {reason}"))
            .collect();
        if !loading.is_empty() {
            missing.push(format!("loading {}", loading.join(", ")));
        }
        let some_ready = self.declared > loading.len() + failed.len();
        let waits = !loading.is_empty() && !self.is_over.load(Ordering::Acquire);
        if missing.is_empty() {
            self.health.up(DEPENDENCY);
        } else if some_ready && !waits {
            self.health.degraded(DEPENDENCY, missing.join("; "));
        } else {
            self.health.down(DEPENDENCY, missing.join("; "));
        }
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;

    #[test]
    fn a_process_that_has_a_model_is_ready_without_one_that_is_broken_or_loads_for_ever() {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let health = Health::default();
        let names = ["slow", "sound", "broken (pool gpu)"].map(str::to_owned);
        let board = Board::new(names.into(), health.clone(), clock);
        board.settle("broken (pool gpu)", Some("no file".to_owned()));
        assert!(!health.is_ready(), "nothing is loaded");
        board.settle("sound", None);
        assert!(!health.is_ready(), "what loads is waited for");
        manual.advance(LOAD_PATIENCE);
        board.look();
        assert!(health.is_ready());
        assert_eq!(
            health.told()["models"],
            "degraded: failed broken (pool gpu): no file; loading slow"
        );
        board.settle("slow", Some("too large".to_owned()));
        assert!(health.is_ready(), "one works");
        board.settle("sound", Some("it has stopped".to_owned()));
        assert!(!health.is_ready(), "none is left");
    }
}
