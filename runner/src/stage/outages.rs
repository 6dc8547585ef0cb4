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
        self.health.down(dependency, reason);
        self.waiting.send_modify(|waiting| *waiting += 1);
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
