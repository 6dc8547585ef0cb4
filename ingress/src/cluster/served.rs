//! Whether this gateway can do what it is there for. It can as long as live workers run the default model or, where the policy has none of
//! that name, any that it takes: one broken model does not take a gateway out of a balancer's list, and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_runner::Health;

use super::models::Models;
use super::names::{Names, runnable};

/// As `/readyz` names it.
const DEPENDENCY: &str = "served_models";
/// How long a name may be without a worker: longer than one takes to start.
const GRACE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most names that are told.
const MOST_TOLD: usize = 8;

/// What live workers make of the policy's names.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// No planner has told any.
    Unknown,
    /// Each can be run.
    Whole,
    /// These cannot, and it does not matter enough.
    Degraded(String),
    /// These cannot, the one that matters most among them.
    Missing(String),
}

/// When each name could last be run.
#[derive(Debug, Default)]
pub struct Served(BTreeMap<String, Instant>);

impl Served {
    /// Looks at all names, and those that can be run now.
    pub fn look(
        &mut self,
        names: &BTreeSet<&str>,
        runnable: &BTreeMap<&str, i64>,
        default: Option<&str>,
        now: Instant,
    ) -> Standing {
        self.0.retain(|name, _| names.contains(name.as_str()));
        for name in names {
            let served = self.0.entry((*name).to_owned()).or_insert(now);
            if runnable.contains_key(name) {
                *served = now;
            }
        }
        let age = |served: &Instant| now.saturating_duration_since(*served);
        let unserved = self.0.iter().filter(|(_, served)| age(served) >= GRACE);
        let unserved: Vec<(&str, u64)> = unserved
            .map(|(name, served)| (name.as_str(), age(served).as_secs()))
            .collect();
        let is_unserved = |wanted: &str| unserved.iter().any(|(name, _)| *name == wanted);
        let default = default.filter(|default| names.contains(default));
        let missing = default.map_or(unserved.len() == names.len(), is_unserved);
        match (names.is_empty(), unserved.is_empty(), missing) {
            (true, ..) => Standing::Unknown,
            (_, true, _) => Standing::Whole,
            (.., true) => Standing::Missing(reason(&unserved)),
            (.., false) => Standing::Degraded(reason(&unserved)),
        }
    }
}

fn reason(unserved: &[(&str, u64)]) -> String {
    let mut text = String::from("no live worker runs ");
    for (index, (name, seconds)) in unserved.iter().take(MOST_TOLD).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}`{name}` (for {seconds} s)");
    }
    if let Some(more @ 1..) = unserved.len().checked_sub(MOST_TOLD) {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Looks again and again, and says on the board what is found. Never returns.
pub async fn watch(
    models: Arc<Mutex<Models>>,
    names: Arc<Mutex<Names>>,
    default: Option<String>,
    health: Health,
    clock: Clock,
) {
    let mut served = Served::default();
    loop {
        let standing = {
            let (models, names) = (models.lock(), names.lock());
            let candidates = names.candidates();
            let runnable = runnable(&candidates, &models.live(clock.steady()));
            let names = candidates.into_keys().collect();
            served.look(&names, &runnable, default.as_deref(), clock.instant())
        };
        match standing {
            Standing::Unknown => {}
            Standing::Whole => health.up(DEPENDENCY),
            Standing::Degraded(reason) => health.degraded(DEPENDENCY, reason),
            Standing::Missing(reason) => health.down(DEPENDENCY, reason),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::TimestampMs;

    use super::*;

    /// What is found once `running` have been all that ran for the grace.
    fn found(names: &[&str], running: &[&str], default: Option<&str>) -> Standing {
        let (clock, manual) = Clock::manual(TimestampMs(0));
        let names: BTreeSet<&str> = names.iter().copied().collect();
        let running: BTreeMap<&str, i64> = running.iter().map(|name| (*name, 0)).collect();
        let mut served = Served::default();
        let mut look = || served.look(&names, &running, default, clock.instant());
        assert!(
            matches!(look(), Standing::Whole | Standing::Unknown),
            "a worker may be starting"
        );
        manual.advance(GRACE);
        look()
    }

    #[test]
    fn one_broken_model_does_not_make_the_gateway_unready_and_is_told() {
        let all = ["broken", "relay-chat"];
        let Standing::Degraded(reason) = found(&all, &["relay-chat"], Some("relay-chat")) else {
            panic!("the default runs")
        };
        assert_eq!(reason, "no live worker runs `broken` (for 10 s)");
        assert!(matches!(
            found(&all, &["broken"], Some("relay-chat")),
            Standing::Missing(_)
        ));
        assert_eq!(found(&all, &all, Some("relay-chat")), Standing::Whole);
    }

    #[test]
    fn without_a_default_that_the_policy_takes_any_of_its_models_makes_it_ready() {
        for default in [None, Some("of-another-policy")] {
            assert!(matches!(
                found(&["a", "b"], &["b"], default),
                Standing::Degraded(_)
            ));
            assert!(matches!(found(&["a", "b"], &[], default), Standing::Missing(_)));
        }
        assert_eq!(found(&[], &[], Some("relay-chat")), Standing::Unknown);
    }

    #[test]
    fn many_names_are_counted_beyond_the_first_few() {
        let told = reason(&[("m", 10); MOST_TOLD + 3]);
        assert!(told.ends_with("(for 10 s) and 3 more"), "{told}");
    }
}
