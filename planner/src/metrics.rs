//! What the planner counts.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    policy_loads: IntCounterVec,
    policy_stale: IntGauge,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("relay_planner_requests_total", "Requests decided, by result."),
            &["result"],
        )?;
        let policy_loads = IntCounterVec::new(
            Opts::new(
                "relay_planner_policy_loads_total",
                "Changes of the policy file, by result.",
            ),
            &["result"],
        )?;
        let policy_stale = IntGauge::new(
            "relay_planner_policy_stale",
            "1 while the policy file is refused and the policy before it is in force.",
        )?;
        for result in [
            "planned",
            "expired",
            "model_not_found",
            "no_plan",
            "invalid_request",
        ] {
            requests.with_label_values(&[result]);
        }
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(policy_loads.clone()))?;
        registry.register(Box::new(policy_stale.clone()))?;
        Ok(Self {
            requests,
            policy_loads,
            policy_stale,
        })
    }

    /// `result` is `planned`, `expired` or a refusal's code.
    pub(crate) fn decided(&self, result: &'static str) {
        self.requests.with_label_values(&[result]).inc();
    }

    pub(crate) fn policy_looked_at(&self, good: bool) {
        let result = if good { "adopted" } else { "refused" };
        self.policy_loads.with_label_values(&[result]).inc();
        self.policy_stale.set(i64::from(!good));
    }
}
