//! Which dependency a process is missing, for `/readyz` and for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// Names of what every service depends on, as `/readyz` shows them.
pub mod dependency {
    /// The log.
    pub const BUS: &str = "bus";
    /// The control seam.
    pub const CONTROL: &str = "control";
    /// Parts of the process itself: whether each gets on with its work.
    pub const PROGRESS: &str = "progress";
    /// A scheduler that decides.
    pub const SCHEDULER: &str = "scheduler";
}

/// A board on which each user of a dependency says how it finds it. Cheap to clone; keys are fixed names, so it is bounded.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Condition>>>);

#[derive(Debug)]
enum Condition {
    Works,
    /// The process waits for it.
    Missing(String),
    /// The process goes on without it.
    Bypassed(String),
    /// The process goes on, and does less.
    Degraded(String),
}

impl Health {
    /// `dependency` works.
    pub fn up(&self, dependency: &'static str) {
        self.0.write().insert(dependency, Condition::Works);
    }

    /// `dependency` is missing, and why.
    pub fn down(&self, dependency: &'static str, reason: impl Into<String>) {
        self.0
            .write()
            .insert(dependency, Condition::Missing(reason.into()));
    }

    /// `dependency` is missing, and the process goes on without it: it stays ready.
    pub fn bypassed(&self, dependency: &'static str, reason: impl Into<String>) {
        self.0
            .write()
            .insert(dependency, Condition::Bypassed(reason.into()));
    }

    /// `dependency` is there in part, and what the process does not do meanwhile: it stays ready.
    pub fn degraded(&self, dependency: &'static str, reason: impl Into<String>) {
        self.0
            .write()
            .insert(dependency, Condition::Degraded(reason.into()));
    }

    /// Every dependency that was ever reported, with the reason if the process waits for it.
    pub fn all(&self) -> BTreeMap<&'static str, Option<String>> {
        let board = self.0.read();
        let all = board.iter().map(|(name, condition)| match condition {
            Condition::Works | Condition::Bypassed(_) | Condition::Degraded(_) => (*name, None),
            Condition::Missing(reason) => (*name, Some(reason.clone())),
        });
        all.collect()
    }

    /// What is there in part, with what the process does not do meanwhile.
    pub fn lessened(&self) -> BTreeMap<&'static str, String> {
        let board = self.0.read();
        let lessened = board.iter().filter_map(|(name, condition)| match condition {
            Condition::Degraded(reason) => Some((*name, reason.clone())),
            Condition::Works | Condition::Missing(_) | Condition::Bypassed(_) => None,
        });
        lessened.collect()
    }

    /// Every dependency in words: `ok`, the reason why it is missing, why the process goes on without it, or what it does not do.
    pub fn told(&self) -> BTreeMap<&'static str, String> {
        let board = self.0.read();
        let told = board.iter().map(|(name, condition)| match condition {
            Condition::Works => (*name, "ok".to_owned()),
            Condition::Missing(reason) => (*name, reason.clone()),
            Condition::Bypassed(reason) => (*name, format!("bypassed: {reason}")),
            Condition::Degraded(reason) => (*name, format!("degraded: {reason}")),
        });
        told.collect()
    }

    /// Whether the process waits for nothing.
    pub fn is_ready(&self) -> bool {
        let board = self.0.read();
        !board
            .values()
            .any(|condition| matches!(condition, Condition::Missing(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::Health;

    #[test]
    fn what_is_bypassed_is_told_and_keeps_nobody_from_being_ready() {
        let health = Health::default();
        health.up("bus");
        health.bypassed("redis", "connection refused");
        assert!(health.is_ready());
        assert_eq!(health.told()["redis"], "bypassed: connection refused");
        assert_eq!(health.all()["redis"], None);
        health.down("bus", "no broker");
        assert!(!health.is_ready());
        assert_eq!(health.told()["bus"], "no broker");
    }
}
