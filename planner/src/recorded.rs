//! Every policy that ever planned anything, from `relay.policies.v1`.

use std::collections::BTreeMap;

use relay_bus::topics::POLICIES;
use relay_bus::{Bus, BusError, Partition, decode};
use relay_runner::Stretch;
use relay_schemas::{PolicyBody, Registry};

use crate::policy::Policy;

/// The policies that the log holds now, by version. A body that this build refuses is passed over with a warning.
pub async fn recorded_policies(
    bus: &dyn Bus,
    schemas: &Registry,
) -> Result<BTreeMap<String, Policy>, BusError> {
    let mut policies = BTreeMap::new();
    for number in 0..bus.partitions(POLICIES).await? {
        let mut recorded = Stretch::whole(bus, Partition::new(POLICIES, number)).await?;
        while let Some(record) = recorded.next().await? {
            if let Some(policy) = policy_in(schemas, &record) {
                policies.insert(policy.version().to_owned(), policy);
            }
        }
    }
    Ok(policies)
}

fn policy_in(schemas: &Registry, record: &relay_bus::Record) -> Option<Policy> {
    let policy = decode::<PolicyBody>(schemas, record)
        .map_err(|error| error.to_string())
        .and_then(|body| Policy::parse(&body.body).map_err(|error| error.to_string()));
    match policy {
        Ok(policy) => Some(policy),
        Err(error) => {
            let offset = record.position.offset;
            tracing::warn!(
                messaging.topic = POLICIES,
                messaging.offset = offset,
                error,
                "no policy of this build's"
            );
            None
        }
    }
}
