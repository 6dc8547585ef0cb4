//! What the planner counts.

use prometheus::{
    IntCounterVec, IntGauge, Registry, register_int_counter_vec_with_registry as counters,
    register_int_gauge_with_registry as gauge,
};
use relay_schemas::{Outcome, OutcomeStatus};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    policy_loads: IntCounterVec,
    policy_stale: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            requests: counters!(
                "relay_planner_requests_total",
                "Requests decided, by result.",
                &["result"],
                registry
            )?,
            policy_loads: counters!(
                "relay_planner_policy_loads_total",
                "Changes of the policy file, by result.",
                &["result"],
                registry
            )?,
            policy_stale: gauge!(
                "relay_planner_policy_stale",
                "1 while the policy file is refused and the policy before it is in force.",
                registry
            )?,
        };
        for result in [
            "planned",
            "expired",
            "model_not_found",
            "no_plan",
            "invalid_request",
        ] {
            metrics.requests.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    pub(crate) fn planned(&self) {
        self.requests.with_label_values(&["planned"]).inc();
    }

    /// By the code of the refusal, or `expired`.
    pub(crate) fn ended(&self, outcome: &Outcome) {
        let result = match (outcome.status, &outcome.code) {
            (OutcomeStatus::Failed, Some(code)) => code,
            (status, _) => status.name(),
        };
        self.requests.with_label_values(&[result]).inc();
    }

    pub(crate) fn policy_looked_at(&self, good: bool) {
        let result = if good { "adopted" } else { "refused" };
        self.policy_loads.with_label_values(&[result]).inc();
        self.policy_stale.set(i64::from(!good));
    }
}
