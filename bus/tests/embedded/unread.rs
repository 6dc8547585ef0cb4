//! Retention and what is still to be read: by groups, after a start, after a jump of the clock.

use std::path::Path;
use std::time::Duration;

use prometheus::Registry;
use relay_bus::{Bus, Commit, EmbeddedBus, EmbeddedOptions, OffsetRange, Partition};
use relay_clock::{Clock, ManualClock};
use relay_schemas::TimestampMs;

use crate::house::{eager, eventually, open, record, topics};

const HOUR: Duration = Duration::from_hours(1);

async fn range(bus: &EmbeddedBus, topic: &str) -> OffsetRange {
    bus.range(&Partition::new(topic, 0)).await.unwrap()
}

/// Three records in a topic that keeps nothing, and a group that has read the first.
async fn three_of_which_one_is_read(bus: &EmbeddedBus, group: &str) {
    let records = (0..3).map(|n| record("brief", 0, format!("{n}"))).collect();
    bus.publish(records, Vec::new()).await.unwrap();
    commit(bus, group, "brief", 1).await;
}

async fn commit(bus: &EmbeddedBus, group: &str, topic: &str, next: i64) {
    let commit = Commit {
        group: group.to_owned(),
        partition: Partition::new(topic, 0),
        next,
    };
    bus.publish(Vec::new(), vec![commit]).await.unwrap();
}

/// Long enough for many rounds of housekeeping.
async fn many_rounds() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

/// With a clock that only the test moves.
fn open_at(folder: &Path, options: EmbeddedOptions) -> (EmbeddedBus, ManualClock) {
    let (clock, hands) = Clock::manual(TimestampMs(1_800_000_000_000));
    let bus = EmbeddedBus::open(folder, &topics(), options, &clock).unwrap();
    (bus, hands)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_has_still_to_read_is_kept_however_old_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    three_of_which_one_is_read(&bus, "g").await;
    many_rounds().await;
    assert_eq!(range(&bus, "brief").await, OffsetRange { low: 0, high: 3 });
    drop(bus);
    // Killed and started again, before anybody has joined.
    let bus = open(folder.path(), eager());
    many_rounds().await;
    assert_eq!(range(&bus, "brief").await.low, 0);
    commit(&bus, "g", "brief", 3).await;
    eventually("what is read goes", async || range(&bus, "brief").await.low == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_has_joined_and_read_nothing_yet_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let consumer = bus.subscribe("g", &["brief".to_owned()]).await.unwrap();
    bus.publish(vec![record("brief", 0, "a")], Vec::new())
        .await
        .unwrap();
    many_rounds().await;
    assert_eq!(range(&bus, "brief").await, OffsetRange { low: 0, high: 1 });
    consumer.leave().await.unwrap();
    eventually("nobody reads it", async || range(&bus, "brief").await.low == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_nobody_joins_is_forgotten_after_group_retention_and_retention_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        segment_age: Duration::ZERO,
        group_retention: 10 * HOUR,
        ..eager()
    };
    let (bus, hands) = open_at(folder.path(), options);
    three_of_which_one_is_read(&bus, "gone").await;
    many_rounds().await;
    hands.advance(9 * HOUR);
    many_rounds().await;
    let partition = Partition::new("brief", 0);
    assert_eq!(bus.committed("gone", &partition).await.unwrap(), Some(1));
    assert_eq!(range(&bus, "brief").await.low, 0);
    // A round may have looked too early to count all of one step.
    eventually("it is forgotten", async || {
        hands.advance(HOUR);
        bus.committed("gone", &partition).await.unwrap().is_none()
    })
    .await;
    eventually("retention goes on", async || range(&bus, "brief").await.low == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_let_go_right_after_a_start_or_after_the_clock_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        segment_age: Duration::ZERO,
        retention_grace: HOUR,
        ..eager()
    };
    let (bus, hands) = open_at(folder.path(), options);
    bus.publish(vec![record("brief", 0, "a")], Vec::new())
        .await
        .unwrap();
    many_rounds().await;
    assert_eq!(range(&bus, "brief").await.low, 0, "right after the start");
    // Forty days ahead, as an administrator sets it: only the wall clock moves.
    hands.step_to(TimestampMs(1_800_000_000_000).plus_ms(40 * 24 * 3_600_000));
    many_rounds().await;
    hands.advance(HOUR / 2);
    many_rounds().await;
    hands.advance(HOUR / 4);
    many_rounds().await;
    assert_eq!(range(&bus, "brief").await.low, 0, "after the jump");
    eventually("the grace is over", async || {
        hands.advance(HOUR / 2);
        range(&bus, "brief").await.low == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_size_takes_from_a_group_is_counted_by_topic() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let metrics = Registry::new();
    bus.register(&metrics).unwrap();
    commit(&bus, "g", "small", 0).await;
    for _ in 0..500 {
        bus.publish(vec![record("small", 0, vec![7; 2000])], Vec::new())
            .await
            .unwrap();
    }
    eventually("retention_size lets go", async || {
        range(&bus, "small").await.low > 300
    })
    .await;
    let counted = || {
        let family = metrics
            .gather()
            .into_iter()
            .find(|family| family.name() == "relay_log_dropped_unread_total")?;
        let metric = family.get_metric().first()?.clone();
        (metric.get_label()[0].value() == "small").then(|| metric.get_counter().get_value() as i64)
    };
    eventually("all of it is counted", async || {
        counted() == Some(range(&bus, "small").await.low)
    })
    .await;
}
