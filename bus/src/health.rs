//! Which dependency a process is missing, for `/readyz` and for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// A board on which each user of a dependency says how it finds it. Cheap to clone; keys are fixed names, so it is bounded.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Option<String>>>>);

impl Health {
    /// `dependency` works.
    pub fn up(&self, dependency: &'static str) {
        self.0.write().insert(dependency, None);
    }

    /// `dependency` is missing, and why.
    pub fn down(&self, dependency: &'static str, reason: impl Into<String>) {
        self.0.write().insert(dependency, Some(reason.into()));
    }

    /// Every dependency that was ever reported, with the reason if it is missing.
    pub fn all(&self) -> BTreeMap<&'static str, Option<String>> {
        self.0.read().clone()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.0.read().values().all(Option::is_none)
    }
}
