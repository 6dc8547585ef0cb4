//! Retention and compaction.

use std::path::Path;

use bytes::Bytes;
use relay_bus::{Bus, EmbeddedBus, Outgoing, Partition};

use crate::house::{all, eager, eventually, offsets, open, record};

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_bytes_keeps_the_newest_and_gives_the_disk_back() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let partition = Partition::new("small", 0);
    for _ in 0..1000 {
        bus.publish(vec![record("small", 0, vec![7; 2000])], Vec::new())
            .await
            .unwrap();
    }
    // 200 kB are 100 records; a segment holds about 30.
    eventually("less than 140 of 1000 records are held", async || {
        let range = bus.range(&partition).await.unwrap();
        range.high - range.low < 140
    })
    .await;
    let range = bus.range(&partition).await.unwrap();
    assert!(range.high == 1000 && range.high - range.low >= 99, "{range:?}");
    // Retention may have gone on meanwhile.
    let read = offsets(&all(&bus, "small", 0).await);
    let low = *read.first().unwrap();
    assert!(low >= range.low, "{low} before {range:?}");
    assert_eq!(read, (low..1000).collect::<Vec<_>>());
    eventually(
        "the segments take less than 800 kB of the 2 MB written",
        async || size(folder.path()) < 800_000,
    )
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    let again = bus.range(&partition).await.unwrap();
    assert!(
        again.high == 1000 && again.low >= range.low,
        "{again:?} after {range:?}"
    );
}

/// Something else is published; little, so that a segment is worth cleaning all the same.
async fn follow(bus: &EmbeddedBus) {
    bus.publish(vec![record("fast", 0, "x")], Vec::new())
        .await
        .unwrap();
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    entries
        .iter()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_time_lets_everything_go_but_not_the_count() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    bus.publish(vec![record("brief", 0, "a"), record("brief", 0, "b")], Vec::new())
        .await
        .unwrap();
    let partition = Partition::new("brief", 0);
    eventually("both records are gone", async || {
        bus.range(&partition).await.unwrap().low == 2
    })
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    let positions = bus
        .publish(vec![record("brief", 0, "c")], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_newest_of_each_key_and_forgets_old_tombstones() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), eager());
    let keyed = |key: &'static str, value: Option<String>| Outgoing {
        key: Some(Bytes::from_static(key.as_bytes())),
        value: value.map(Into::into),
        ..record("newest", 0, "")
    };
    for n in 0..20 {
        let value = || Some(format!("{n}{}", "x".repeat(1000)));
        let records = vec![keyed("a", value()), keyed("b", value())];
        bus.publish(records, Vec::new()).await.unwrap();
    }
    // A segment is cleaned when half of it is unwanted: superseded records first, then the tombstone.
    let mut tombstone = keyed("a", None);
    tombstone.headers.set("why", vec![b'x'; 4000]);
    bus.publish(vec![tombstone, keyed("c", Some("last".to_owned()))], Vec::new())
        .await
        .unwrap();
    // The newest segments are never cleaned: others must follow.
    eventually("only b and c are left", async || {
        follow(&bus).await;
        offsets(&all(&bus, "newest", 0).await) == [39, 41]
    })
    .await;
    drop(bus);
    let bus = open(folder.path(), eager());
    assert_eq!(offsets(&all(&bus, "newest", 0).await), [39, 41]);
    let positions = bus
        .publish(vec![keyed("b", Some("newer".to_owned()))], Vec::new())
        .await
        .unwrap();
    assert_eq!(positions[0].offset, 42);
    eventually("the older b is gone", async || {
        follow(&bus).await;
        offsets(&all(&bus, "newest", 0).await) == [41, 42]
    })
    .await;
}
