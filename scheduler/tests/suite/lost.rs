//! What a leader's snapshot names, and the log has damaged or let go since.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::{FaultyBus, buried, first, turn_a_bit, with_damaged};
use relay_bus::{Headers, Outgoing, Partition, Position, topics};
use relay_scheduler::Config;
use relay_schemas::{Outcome, OutcomeStatus, encode};

use crate::records::Spec;
use crate::shell::{PATIENCE, Stand, manifest, specs};

fn offered(spec: &Spec) -> Outgoing {
    let partition = Partition::new(topics::ready("default"), 3);
    let headers = Headers::of(&spec.ready().request);
    Outgoing::to_partition(&partition, headers, encode(&spec.ready()))
}

async fn stand_on(folder: &Path, records: &[Outgoing]) -> Stand {
    let bus = with_damaged(folder, &manifest(), records, &[]).await;
    Stand::on(bus, tempfile::tempdir().unwrap())
}

/// A leader that writes its snapshot and stops, with `specs` waiting.
async fn lead_and_stop(stand: &Stand, waiting: u32) {
    let scheduler = stand.scheduler("s1");
    let waits = |status: &relay_schemas::PoolStatus| status.waiting_interactive == waiting;
    stand.pool_status(waits).await;
    scheduler.shutdown.drain();
    let ended = tokio::time::timeout(PATIENCE, scheduler.task).await;
    ended.unwrap().unwrap().unwrap();
}

/// Found by an attacker of the release build: the successor never led, every request hung, and nothing said so.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_that_a_snapshot_names_stops_no_successor() {
    let folder = tempfile::tempdir().unwrap();
    let requests: Vec<Spec> = specs(3).collect();
    let records: Vec<Outgoing> = requests.iter().map(offered).collect();
    let stand = stand_on(folder.path(), &records).await;
    lead_and_stop(&stand, 3).await;
    drop(stand);
    turn_a_bit(folder.path(), records[1].value.as_deref().unwrap());

    let stand = stand_on(folder.path(), &[]).await;
    let _scheduler = stand.scheduler("s2");
    stand.pool_status(|status| status.waiting_interactive == 2).await;
    let place = Position {
        partition: Partition::new(topics::ready("default"), 3),
        offset: 1,
    };
    assert_eq!(buried(&*stand.bus, 1).await, [place]);
    let failed = &first::<Outcome>(&*stand.bus, topics::OUTCOMES, 1).await[0];
    assert_eq!(
        (failed.request_id.as_str(), failed.status, failed.code.as_deref()),
        ("r1", OutcomeStatus::Failed, Some("record_damaged"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_stands_still_is_not_ready_and_ends_once_the_log_says_what_it_holds() {
    let stand = Stand::new();
    stand.offer(specs(2)).await;
    let bus = Arc::new(FaultyBus::over(stand.bus.clone()));
    bus.promise(&topics::ready("default"), 1);
    let scheduler = stand.scheduler_on(bus.clone(), "s1", Config::default());
    // The reader says as well that nothing comes, and may do so first.
    let told = || scheduler.health.told().remove("scheduler").unwrap_or_default();
    let stands_still = async {
        while !told().contains("waits for relay.ready.default.v1-") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stands_still).await.unwrap();
    assert!(told().contains("pool `default`"), "{}", told());
    assert!(!scheduler.health.is_ready());
    bus.promise(&topics::ready("default"), 0);
    stand.pool_status(|status| status.waiting_interactive == 2).await;
    let ready = async {
        while !scheduler.health.is_ready() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
}
