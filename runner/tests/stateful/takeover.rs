//! One instance leads, the other stands by.

use std::time::Duration;

use relay_bus::testing::Mood;

use crate::tally::{Instance, PATIENCE, append, bus};

#[tokio::test]
async fn a_successor_begins_with_the_snapshot_and_reads_only_the_rest_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    append(&bus, 5).await;
    let first = Instance::start(&bus, "a");
    first.shows(|shown| shown.decides && shown.written == 5).await;
    // A heartbeat more, so that the snapshot before it is in the log.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(first);
    append(&bus, 3).await;
    let second = Instance::start(&bus, "b");
    let shown = second.shows(|shown| shown.decides).await;
    assert_eq!((shown.total, shown.read), (8, 3));
}

#[tokio::test]
async fn a_clean_stop_leaves_the_state_and_the_lead_to_the_standby() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    append(&bus, 5).await;
    let first = Instance::start(&bus, "a");
    first.shows(|shown| shown.decides && shown.total == 5).await;
    let second = Instance::start(&bus, "b");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.shown.lock().decides, "one decides at a time");
    first.shutdown.drain();
    tokio::time::timeout(PATIENCE, first.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let shown = second.shows(|shown| shown.decides).await;
    assert_eq!(
        (shown.total, shown.read),
        (5, 0),
        "all of it stood in the snapshot"
    );
}

#[tokio::test]
async fn a_leader_that_cannot_write_stops_deciding_and_decides_again_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    let alone = Instance::start(&bus, "a");
    alone.shows(|shown| shown.decides).await;
    bus.be(Mood::Away);
    alone.shows(|shown| !shown.decides).await;
    bus.be(Mood::Works);
    alone.shows(|shown| shown.decides).await;
}
