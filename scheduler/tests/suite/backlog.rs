//! A bus that takes no endings must not fill the scheduler's memory with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use relay_bus::{
    Bus, BusError, Commit, Consumer, EmbeddedBus, OffsetRange, Outgoing, Partition, Position, Reader,
    StartAt, topics,
};
use relay_scheduler::Config;
use relay_schemas::{Outcome, OutcomeStatus};
use tokio::sync::watch;

use crate::shell::{Scheduler, Stand, specs};

/// A log whose topic of outcomes takes nothing until it is told to.
struct Stuck {
    log: Arc<EmbeddedBus>,
    takes_outcomes: watch::Receiver<bool>,
}

#[async_trait]
impl Bus for Stuck {
    async fn publish(&self, records: Vec<Outgoing>, commits: Vec<Commit>) -> Result<Vec<Position>, BusError> {
        if records.iter().any(|record| record.topic == topics::OUTCOMES) {
            let mut takes = self.takes_outcomes.clone();
            takes.wait_for(|takes| *takes).await.expect("the test goes on");
        }
        self.log.publish(records, commits).await
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Consumer>, BusError> {
        self.log.subscribe(group, topics).await
    }

    async fn read(&self, from: Vec<(Partition, StartAt)>) -> Result<Box<dyn Reader>, BusError> {
        self.log.read(from).await
    }

    async fn partitions(&self, topic: &str) -> Result<i32, BusError> {
        self.log.partitions(topic).await
    }

    async fn range(&self, partition: &Partition) -> Result<OffsetRange, BusError> {
        self.log.range(partition).await
    }

    async fn committed(&self, group: &str, partition: &Partition) -> Result<Option<i64>, BusError> {
        self.log.committed(group, partition).await
    }

    async fn apply(&self, manifest: &topics::Manifest) -> Result<Vec<String>, BusError> {
        self.log.apply(manifest).await
    }

    async fn probe(&self) -> Result<(), BusError> {
        self.log.probe().await
    }
}

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
    let (open, takes_outcomes) = watch::channel(false);
    let bus = Arc::new(Stuck {
        log: stand.bus.clone(),
        takes_outcomes,
    });
    let config = Config {
        max_waiting: 0,
        max_unpublished_bytes: MOST,
        ..Config::default()
    };
    let scheduler = stand.scheduler_on(bus, "s1", config);
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

    open.send(true).expect("the scheduler runs");
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
