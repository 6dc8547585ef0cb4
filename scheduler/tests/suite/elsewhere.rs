//! Requests on their way into another pool's log.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::{FaultyBus, Mood};
use relay_bus::{Bus, topics};
use relay_scheduler::{Config, Leases};
use relay_schemas::{Ready, SchedulerRecord, SchedulerRecordKind as Kind, SchedulerSnapshot};

use crate::records::Spec;
use crate::shell::{PATIENCE, Stand, specs};

fn soon() -> Config {
    Config {
        leases: Leases {
            hand_over_after: Duration::from_secs(2),
            ..Leases::default()
        },
        ..Config::default()
    }
}

/// Requests that go on in these pools.
fn leaving(pools: &[&str]) -> Vec<Spec> {
    let to = |(spec, pool): (Spec, &&str)| Spec {
        fallback: Some((*pool).to_owned()),
        ..spec
    };
    specs(pools.len()).zip(pools).map(to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_of_a_clean_stop_lists_nothing_that_another_pool_has() {
    let stand = Stand::new();
    let bus = Arc::new(FaultyBus::over(stand.bus.clone()).only_for(&topics::ready("spare")));
    bus.be(Mood::Holds);
    let scheduler = stand.scheduler_on(bus.clone(), "s1", soon());
    stand.offer(leaving(&["spare"])).await;
    stand.pool_status(|status| status.waiting_interactive == 1).await;
    stand.pool_status(|status| status.waiting_interactive == 0).await;
    scheduler.shutdown.drain();
    tokio::time::sleep(Duration::from_millis(300)).await;
    bus.be(Mood::Works);
    tokio::time::timeout(PATIENCE, scheduler.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let lines = stand
        .read::<SchedulerRecord>(&topics::scheduler("default"), |lines| {
            lines.iter().any(|line| line.kind == Kind::Resignation)
        })
        .await;
    let last = lines.into_iter().rev().find_map(|line| line.snapshot);
    let SchedulerSnapshot {
        waiting, requeued, ..
    } = last.unwrap();
    assert!(waiting.is_empty() && requeued.is_empty(), "it is listed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_topic_is_not_there_keeps_no_other_hand_over_and_gets_its_request_once_it_is() {
    let stand = Stand::new();
    let _scheduler = stand.scheduler_on(stand.bus.clone(), "s1", soon());
    stand.offer(leaving(&["gone", "spare"])).await;
    let handed = stand
        .read::<Ready>(&topics::ready("spare"), |handed| !handed.is_empty())
        .await;
    assert_eq!(handed[0].request.request_id.as_str(), "r1");
    let made = "pools: [gone]\ntopics: [{ name: relay.ready.<pool>.v1, partitions: 1 }]";
    let made = topics::Manifest::parse(made).unwrap();
    stand.bus.apply(&made).await.unwrap();
    let handed = stand
        .read::<Ready>(&topics::ready("gone"), |handed| !handed.is_empty())
        .await;
    assert_eq!(handed[0].request.request_id.as_str(), "r0");
}
