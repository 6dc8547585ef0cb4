//! One instance leads, the other stands by.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::Outgoing;
use relay_bus::testing::{FaultyBus, Mood};
use relay_runner::{Election, Identity, LeadershipTopic, NOBODY, NoticeKind, Runtime};
use relay_schemas::{SchedulerSnapshot, Service, TimestampMs};

use crate::tally::{Instance, PATIENCE, TIMES, Topic, append, bus, client};

#[tokio::test]
async fn a_successor_begins_with_the_snapshot_and_reads_only_the_rest_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    append(&bus, 5).await;
    let first = Instance::start(&bus, "a");
    first.shows(|shown| shown.decides && shown.written == 5).await;
    // One notice is written at a time: where two more were begun, the snapshot is in the log.
    let two_more = bus.published().len() + 2;
    let written = async {
        while bus.published().len() < two_more {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
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

/// Whose heartbeats the standby goes on reading, so that it suspects nothing.
#[tokio::test]
async fn a_leader_that_cannot_read_its_own_log_gives_the_lead_up() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    append(&bus, 5).await;
    let cut_off = Instance::start(&bus, "a");
    cut_off.shows(|shown| shown.decides && shown.total == 5).await;
    let other = Arc::new(FaultyBus::over(bus.log.clone()));
    let standby = Instance::start(&other, "b");
    bus.be(Mood::Deaf);
    let shown = standby.shows(|shown| shown.decides).await;
    assert_eq!(shown.total, 5);
    assert!(!cut_off.shown.lock().decides, "one decides at a time");
    assert!(!cut_off.task.is_finished());
}

#[tokio::test]
async fn a_leader_alone_that_gave_up_leads_again_once_the_log_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    let alone = Instance::start(&bus, "a");
    alone.shows(|shown| shown.decides).await;
    bus.be(Mood::Deaf);
    alone.shows(|shown| !shown.decides).await;
    tokio::time::sleep(TIMES.give_up_after * 2).await;
    bus.be(Mood::Works);
    append(&bus, 2).await;
    alone.shows(|shown| shown.decides && shown.total == 2).await;
}

#[tokio::test]
async fn a_drain_is_seen_while_the_log_takes_no_claim() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    bus.be(Mood::Holds);
    let alone = Instance::start(&bus, "a");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!alone.task.is_finished());
    alone.shutdown.drain();
    let ended = tokio::time::timeout(PATIENCE, alone.task).await;
    ended.expect("it waits for no claim").unwrap().unwrap();
}

/// Retention may let a record of the leadership topic go between the answer of where it ends and the reading.
#[tokio::test]
async fn a_claim_does_not_wait_for_what_was_let_go_of_the_leadership_topic() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    bus.promise(&Topic.name(), 1);
    let alone = Instance::start(&bus, "a");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!alone.shown.lock().decides, "not before all of it is read");
    bus.promise(&Topic.name(), 0);
    alone.shows(|shown| shown.decides).await;
}

async fn follow(bus: &Arc<FaultyBus>, name: &str) -> Election<Topic> {
    let identity = Identity {
        service: Service::Scheduler,
        instance: name.into(),
        epoch: 1,
    };
    let log = client(Runtime::new(bus.clone()));
    Election::open(log, identity, Topic, TIMES).await.unwrap()
}

/// A leader may be deposed while it still folds what the snapshot does not hold, and lead again later.
#[tokio::test]
async fn the_newest_snapshot_of_a_leader_is_kept_and_one_written_after_a_deposition_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let bus = bus(folder.path());
    let (a, mut b) = (follow(&bus, "a").await, follow(&bus, "b").await);
    let written = |by: &Election<Topic>, kind, epoch, state: Option<i64>| -> Outgoing {
        let state = state.map(|prompt_tokens| SchedulerSnapshot {
            prompt_tokens,
            ..SchedulerSnapshot::default()
        });
        by.record(kind, epoch, state, TimestampMs(1_000))
    };
    let (a_writes, b_writes) = (0, 1);
    let (present, before) = (0, 1);
    let steps = [
        (a_writes, NoticeKind::Claim, present, None, None),
        (a_writes, NoticeKind::Snapshot, present, Some(1), Some(1)),
        (b_writes, NoticeKind::Claim, present, None, Some(1)),
        (a_writes, NoticeKind::Snapshot, before, Some(99), Some(1)),
        (b_writes, NoticeKind::Heartbeat, present, None, Some(1)),
        (b_writes, NoticeKind::Snapshot, present, Some(2), Some(2)),
    ];
    let mut epochs = [NOBODY, NOBODY];
    for (number, (writer, kind, which, state, expected)) in steps.into_iter().enumerate() {
        let by = if writer == a_writes { &a } else { &b };
        let record = written(by, kind, epochs[which], state);
        bus.log.publish(vec![record], Vec::new()).await.unwrap();
        let read = b.next().await.unwrap();
        b.observe(&read);
        let epoch = b.leadership().epoch();
        if epoch != epochs[present] {
            epochs = [epoch, epochs[present]];
        }
        let kept = b.snapshot().map(|snapshot| snapshot.prompt_tokens);
        assert_eq!(kept, expected, "after record {number}");
    }
}
