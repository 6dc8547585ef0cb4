//! Dependencies that records wait for: while there are any, nothing new is taken in.

use tokio::sync::watch;

use crate::health::Health;

/// How many records wait for a dependency now.
#[derive(Debug, Clone)]
pub(super) struct Outages {
    waiting: watch::Sender<usize>,
    health: Health,
}

/// One record that waits; gone with it, however the waiting ends.
pub(super) struct WaitingRecord {
    outages: Outages,
    dependency: &'static str,
}

impl Outages {
    pub(super) fn new(health: Health) -> Self {
        Self {
            waiting: watch::Sender::new(0),
            health,
        }
    }

    /// Whether any record waits.
    pub(super) fn any(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    /// Completes when the number of those that wait changes.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// A record begins to wait for `dependency`.
    pub(super) fn begin(&self, dependency: &'static str, reason: &str) -> WaitingRecord {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // Only now: who sees that a dependency is missing sees an intake that pauses.
        self.health.down(dependency, reason);
        if *self.waiting.borrow() == 1 {
            tracing::warn!(dependency, reason, "a dependency is missing: intake pauses");
        }
        WaitingRecord {
            outages: self.clone(),
            dependency,
        }
    }
}

impl WaitingRecord {
    /// It still is not there.
    pub(super) fn still(&mut self, dependency: &'static str, reason: &str) {
        self.dependency = dependency;
        self.outages.health.down(dependency, reason);
    }

    /// It answered.
    pub(super) fn over(self) {
        self.outages.health.up(self.dependency);
        if *self.outages.waiting.borrow() == 1 {
            tracing::info!(
                dependency = self.dependency,
                "the dependency is back: intake resumes"
            );
        }
    }
}

impl Drop for WaitingRecord {
    fn drop(&mut self) {
        self.outages.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_sees_that_a_dependency_is_missing_sees_an_intake_that_pauses() {
        const ROUNDS: usize = 200;
        let health = Health::default();
        let outages = Outages::new(health.clone());
        let watched = outages.clone();
        let (seen, pauses) = mpsc::sync_channel(0);
        let looking = std::thread::spawn(move || {
            let missing = || matches!(health.all().get("redis"), Some(Some(_)));
            for _ in 0..ROUNDS {
                for is_missing in [true, false] {
                    while missing() != is_missing {
                        std::thread::yield_now();
                    }
                    let pauses = watched.any();
                    seen.send(pauses).expect("it is waited for");
                }
            }
        });
        for round in 0..ROUNDS {
            let waiting = outages.begin("redis", "away");
            assert!(pauses.recv().expect("it looks"), "round {round}");
            waiting.over();
            pauses.recv().expect("it looks");
        }
        looking.join().expect("it has looked");
    }
}
