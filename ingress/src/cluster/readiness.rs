//! Whether answers can reach this ingress, and what stands in the way.

use std::sync::atomic::{AtomicBool, Ordering};

use relay_runner::Health;

/// What an ingress depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// The log.
    Bus,
    /// Room for new work on the disk of the log.
    Room,
    /// The control seam.
    Control,
    /// The reply subscription on it.
    Replies,
    /// The log's outcomes, read on and on.
    Outcomes,
}

impl Dependency {
    const ALL: [Self; 5] = [
        Self::Bus,
        Self::Room,
        Self::Control,
        Self::Replies,
        Self::Outcomes,
    ];

    /// The name, as `/readyz` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Room => "room",
            Self::Control => "control",
            Self::Replies => "replies",
            Self::Outcomes => "outcomes",
        }
    }
}

/// What was last found of each dependency; kept on the process's health board as well.
#[derive(Debug)]
pub struct Readiness {
    health: Health,
    up: [AtomicBool; Dependency::ALL.len()],
}

impl Readiness {
    /// Nothing has answered so far.
    pub fn new(health: Health) -> Self {
        for dependency in Dependency::ALL {
            health.down(dependency.name(), "not reached yet");
        }
        Self {
            health,
            up: Default::default(),
        }
    }

    /// A dependency was looked at; logged when that is news.
    pub fn report(&self, dependency: Dependency, result: Result<(), String>) {
        let name = dependency.name();
        let was_up = self.up[dependency as usize].swap(result.is_ok(), Ordering::AcqRel);
        match result {
            Ok(()) if was_up => {}
            Ok(()) => {
                tracing::info!(dependency = name, "a dependency answers");
                self.health.up(name);
            }
            Err(reason) => {
                if was_up {
                    tracing::warn!(dependency = name, reason, "a dependency is missing");
                }
                self.health.down(name, reason);
            }
        }
    }

    /// Whether answers reach this ingress now: frames and outcomes. A subscription outlives a lost connection, so the seam is
    /// looked at as well.
    pub fn answers_arrive(&self) -> bool {
        [Dependency::Replies, Dependency::Control, Dependency::Outcomes]
            .into_iter()
            .all(|dependency| self.is_up(dependency))
    }

    /// Whether the dependency answered when it was last looked at.
    pub fn is_up(&self, dependency: Dependency) -> bool {
        self.up[dependency as usize].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_arrive_only_while_seam_subscription_and_outcomes_are_up() {
        let health = Health::default();
        let readiness = Readiness::new(health.clone());
        assert!(health.all().values().all(Option::is_some));
        for dependency in Dependency::ALL {
            assert!(!readiness.answers_arrive() || dependency == Dependency::Bus);
            readiness.report(dependency, Ok(()));
        }
        assert!(readiness.answers_arrive());
        assert!(health.all().values().all(Option::is_none));
        readiness.report(Dependency::Bus, Err("away".to_owned()));
        assert!(readiness.answers_arrive() && !readiness.is_up(Dependency::Bus));
        readiness.report(Dependency::Control, Err("away".to_owned()));
        assert!(!readiness.answers_arrive());
        assert_eq!(health.all()["control"].as_deref(), Some("away"));
    }
}
