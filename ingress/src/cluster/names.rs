//! Which models clients may name: those that the policy of a live planner takes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use relay_clock::millis;
use relay_schemas::{Candidate, InstanceId, PolicyStatus, PublicModel, TimestampMs};

/// Most planners remembered; far above any cluster, so that a flood cannot fill the memory.
const MOST_PLANNERS: usize = 64;

/// The newest status of every planner.
#[derive(Debug)]
pub struct Names {
    stale_ms: i64,
    planners: HashMap<InstanceId, PlannerNames>,
}

#[derive(Debug)]
struct PlannerNames {
    epoch: i64,
    models: Vec<PublicModel>,
    heard_at: TimestampMs,
}

impl Names {
    /// No planner is known yet; a status counts until it is `stale_after` old, or for as long as there is no newer one.
    pub fn new(stale_after: Duration) -> Self {
        Self {
            stale_ms: millis(stale_after),
            planners: HashMap::new(),
        }
    }

    /// A planner's status arrived.
    pub fn on_status(&mut self, status: PolicyStatus, now: TimestampMs) {
        let stale_ms = self.stale_ms;
        self.planners
            .retain(|planner, names| *planner == status.planner || now.since_ms(names.heard_at) < stale_ms);
        let known = self.planners.get(&status.planner);
        let outdated = known.is_some_and(|names| names.epoch > status.epoch);
        let room = known.is_some() || self.planners.len() < MOST_PLANNERS;
        if room && !outdated {
            let names = PlannerNames {
                epoch: status.epoch,
                models: status.models,
                heard_at: now,
            };
            self.planners.insert(status.planner, names);
        }
    }

    /// Whether the policy takes it.
    pub fn takes(&self, name: &str) -> bool {
        let mut models = self.planners.values().flat_map(|planner| &planner.models);
        models.any(|model| model.name == name)
    }

    /// Every name, with the models that may run it. While two policies are in force, a name of either.
    pub fn candidates(&self) -> BTreeMap<&str, BTreeSet<(&str, &str)>> {
        let mut names = BTreeMap::<_, BTreeSet<_>>::new();
        for model in self.planners.values().flat_map(|planner| &planner.models) {
            let candidates = model.candidates.iter();
            names
                .entry(model.name.as_str())
                .or_default()
                .extend(candidates.map(|Candidate { pool, model }| (pool.as_str(), model.as_str())));
        }
        names
    }
}

/// The names that a live worker can run, with the start of the oldest such worker, seconds since 1970.
pub fn runnable<'a>(
    names: &BTreeMap<&'a str, BTreeSet<(&str, &str)>>,
    live: &BTreeMap<(&str, &str), i64>,
) -> BTreeMap<&'a str, i64> {
    let oldest = |candidates: &BTreeSet<(&str, &str)>| {
        candidates.iter().filter_map(|one| live.get(one)).min().copied()
    };
    names
        .iter()
        .filter_map(|(name, candidates)| Some((*name, oldest(candidates)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(planner: &str, epoch: i64, models: &[(&str, &[(&str, &str)])]) -> PolicyStatus {
        let candidate = |(pool, model): &(&str, &str)| Candidate {
            pool: (*pool).to_owned(),
            model: (*model).to_owned(),
        };
        PolicyStatus {
            planner: planner.into(),
            epoch,
            policy_version: "p@1".to_owned(),
            models: models
                .iter()
                .map(|(name, candidates)| PublicModel {
                    name: (*name).to_owned(),
                    candidates: candidates.iter().map(candidate).collect(),
                })
                .collect(),
            sent_at: TimestampMs(0),
        }
    }

    #[test]
    fn listed_is_what_the_policy_takes_and_a_live_worker_of_that_pool_runs() {
        let mut names = Names::new(Duration::from_secs(5));
        let policy: &[(&str, &[(&str, &str)])] = &[
            ("public", &[("remote", "theirs"), ("default", "internal")]),
            ("elsewhere", &[("remote", "internal")]),
        ];
        names.on_status(status("a", 1, policy), TimestampMs(0));
        let live = BTreeMap::from([(("default", "internal"), 7), (("default", "unnamed"), 3)]);
        assert_eq!(
            runnable(&names.candidates(), &live),
            BTreeMap::from([("public", 7)])
        );
    }

    #[test]
    fn the_last_policy_counts_for_as_long_as_no_other_planner_is_heard() {
        let mut names = Names::new(Duration::from_secs(5));
        names.on_status(status("a", 1, &[("old", &[])]), TimestampMs(0));
        names.on_status(status("b", 1, &[("new", &[])]), TimestampMs(4_999));
        let told = |names: &Names| {
            names
                .candidates()
                .into_keys()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&names), ["new", "old"], "both plan");
        names.on_status(status("b", 1, &[("new", &[])]), TimestampMs(5_000));
        assert_eq!(told(&names), ["new"]);
        names.on_status(status("b", 0, &[("older", &[])]), TimestampMs(5_001));
        assert_eq!(told(&names), ["new"], "its predecessor came late");
    }
}
