//! Which tenants and models metrics tell apart. What a client chooses must not become a label without a bound: models are those that the
//! policy takes, tenants the first that came, and everything else is `other`.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use relay_schemas::TenantId;

use crate::cluster::names::Names;

/// Everything that has no label of its own.
pub const OTHER: &str = "other";

/// Most models; a policy that is changed all day names ever more of them.
const MOST_MODELS: usize = 256;

/// The labels.
pub struct Labels {
    tenants: Mutex<Seen>,
    models: Mutex<Seen>,
    names: Arc<Mutex<Names>>,
}

struct Seen {
    most: usize,
    known: HashSet<String>,
}

impl Seen {
    fn new(most: usize) -> Self {
        Self {
            most,
            known: HashSet::new(),
        }
    }

    /// Whether it has a label of its own, now that it was seen.
    fn has_own(&mut self, name: &str) -> bool {
        if self.known.contains(name) {
            return true;
        }
        let room = self.known.len() < self.most;
        if room {
            self.known.insert(name.to_owned());
        }
        room
    }
}

impl Labels {
    /// No tenant has come yet; of `most_tenants` each has its own label.
    pub fn new(most_tenants: usize, names: Arc<Mutex<Names>>) -> Self {
        Self {
            tenants: Mutex::new(Seen::new(most_tenants)),
            models: Mutex::new(Seen::new(MOST_MODELS)),
            names,
        }
    }

    /// The label of a tenant.
    pub fn tenant<'a>(&self, tenant: &'a TenantId) -> &'a str {
        if self.tenants.lock().has_own(tenant.as_str()) {
            tenant.as_str()
        } else {
            OTHER
        }
    }

    /// The label of a model that was asked for.
    pub fn model<'a>(&self, model: &'a str) -> &'a str {
        let taken = self.names.lock().takes(model);
        if taken && self.models.lock().has_own(model) {
            model
        } else {
            OTHER
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use relay_schemas::{PolicyStatus, PublicModel, TimestampMs};

    use super::*;

    #[test]
    fn tenants_beyond_the_cap_and_models_that_no_policy_takes_are_other() {
        let mut names = Names::new(Duration::from_secs(5));
        let status = PolicyStatus {
            planner: "planner-1".into(),
            epoch: 1,
            policy_version: "p@1".to_owned(),
            models: vec![PublicModel {
                name: "public".to_owned(),
                candidates: Vec::new(),
            }],
            sent_at: TimestampMs(0),
        };
        names.on_status(status, TimestampMs(0));
        let labels = Labels::new(2, Arc::new(Mutex::new(names)));
        let of = |tenant: &str| labels.tenant(&TenantId::new(tenant)).to_owned();
        assert_eq!(["a", "b", "c", "a"].map(of), ["a", "b", OTHER, "a"]);
        assert_eq!(
            ["public", "invented"].map(|model| labels.model(model)),
            ["public", OTHER]
        );
    }
}
