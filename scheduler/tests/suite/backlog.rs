//! A bus that takes no endings must not fill the scheduler's memory with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_bus::testing::{FaultyBus, Mood};
use relay_bus::topics;
use relay_scheduler::{Config, Limits};
use relay_schemas::{Outcome, OutcomeStatus};
use relay_settings::ByteSize;

use crate::shell::{Scheduler, Stand, specs};

/// What waits to be published, as the scheduler's own gauge says it.
fn unpublished(scheduler: &Scheduler) -> f64 {
    let families = scheduler.metrics.gather();
    let gauge = families
        .iter()
        .find(|family| family.name() == "relay_scheduler_unpublished_bytes");
    gauge.map_or(0.0, |gauge| gauge.get_metric()[0].get_gauge().get_value())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_endings_cannot_be_published_nothing_more_is_read() {
    const MOST: usize = 50_000;
    let stand = Stand::new();
    let bus = Arc::new(FaultyBus::over(stand.bus.clone()).only_for(topics::OUTCOMES));
    bus.be(Mood::Holds);
    let config = Config {
        limits: Limits {
            max_waiting: 0,
            max_unpublished: ByteSize::b(MOST as u64),
            ..Limits::default()
        },
        ..Config::default()
    };
    let scheduler = stand.scheduler_on(bus.clone(), "s1", config);
    // What lay there before it led would be held, whatever the bounds say.
    stand.pool_status(|_| true).await;
    let mut offered = specs(1_000);
    stand.offer(offered.by_ref().take(500)).await;
    stand
        .pool_status(|_| unpublished(&scheduler) >= MOST as f64)
        .await;
    let before = unpublished(&scheduler);
    stand.offer(offered).await;
    let mut turns = 0;
    stand
        .pool_status(|_| {
            turns += 1;
            turns == 4
        })
        .await;
    assert!(unpublished(&scheduler) <= before, "more was read");

    bus.be(Mood::Works);
    let outcomes = stand
        .read::<Outcome>(topics::OUTCOMES, |outcomes| outcomes.len() >= 1_000)
        .await;
    let ended: BTreeSet<&str> = outcomes
        .iter()
        .map(|outcome| outcome.request_id.as_str())
        .collect();
    assert_eq!((ended.len(), outcomes.len()), (1_000, 1_000), "each ends once");
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.status == OutcomeStatus::Rejected)
    );
    stand.pool_status(|_| unpublished(&scheduler) == 0.0).await;
}
