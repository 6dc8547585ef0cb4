//! A bit is flipped in a real segment: that record says so in its place, and everything else is read.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use relay_bus::{
    Bus, Commit, Consumer, ConsumerEvent, EmbeddedOptions, Headers, Outgoing, Partition, Record, header,
};
use relay_schemas::{Request, RequestId, encode, samples};

use crate::house::{all, counted, eager, eventually, offsets, open, record};

fn named(n: usize) -> Outgoing {
    let mut headers = Headers::default();
    headers.set(header::REQUEST_ID, format!("request-{n}"));
    headers.set(header::TENANT, "acme");
    let value = Bytes::from(format!("value-{n}-{}", "v".repeat(100)));
    Outgoing::to_partition(&Partition::new("safe", 0), headers, value)
}

/// Five records, with the log closed.
async fn five(folder: &Path) -> PathBuf {
    let bus = open(folder, EmbeddedOptions::default());
    for n in 0..5 {
        bus.publish(vec![named(n)], Vec::new()).await.unwrap();
    }
    drop(bus);
    folder.join("00000000000000000001.seg")
}

fn find(bytes: &[u8], text: &str) -> usize {
    let mut windows = bytes.windows(text.len());
    windows.position(|window| window == text.as_bytes()).unwrap()
}

fn damaged(records: &[Record]) -> Vec<i64> {
    let damaged = records
        .iter()
        .filter(|record| record.headers.get(header::DAMAGED).is_some());
    damaged.map(|record| record.position.offset).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_value_is_a_damaged_record_whose_headers_can_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let segment = five(folder.path()).await;
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = find(&bytes, "value-2-") + 20;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let found = all(&bus, "safe", 0).await;
    assert_eq!((offsets(&found), damaged(&found)), (vec![0, 1, 2, 3, 4], vec![2]));
    assert_eq!(counted(&bus, "relay_log_damaged_reads_total"), 1);
    let place = found[2].headers.text(header::DAMAGED).unwrap();
    assert!(place.starts_with("segment 1, byte "), "{place}");
    assert_eq!(found[2].headers.request_id().unwrap().as_str(), "request-2");
    assert_eq!(found[2].headers.tenant().unwrap().as_str(), "acme");
    let next = bus
        .publish(vec![record("safe", 0, "next")], Vec::new())
        .await
        .unwrap();
    assert_eq!(next[0].offset, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_in_a_record_damages_that_record_alone() {
    let folder = tempfile::tempdir().unwrap();
    let segment = five(folder.path()).await;
    let whole = std::fs::read(&segment).unwrap();
    // From the head of the third record to its last byte: 80 bytes of head, key and headers, value.
    let end = find(&whole, "value-2-") + named(2).value.unwrap().len();
    let start = find(&whole, "value-1-") + named(1).value.unwrap().len();
    for at in start..end {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&segment, &bytes).unwrap();
        let bus = open(folder.path(), EmbeddedOptions::default());
        let found = all(&bus, "safe", 0).await;
        let (held, damaged) = (offsets(&found), damaged(&found));
        assert_eq!(held, [0, 1, 2, 3, 4], "byte {at} of {start}..{end}");
        assert_eq!(damaged, [2], "byte {at} of {start}..{end}");
        drop(bus);
        std::fs::remove_dir_all(folder.path()).unwrap();
        std::fs::create_dir(folder.path()).unwrap();
        std::fs::write(&segment, &whole).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_end_the_last_record_too_is_damaged_and_not_taken_for_torn() {
    let folder = tempfile::tempdir().unwrap();
    let segment = five(folder.path()).await;
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = find(&bytes, "value-4-") + 20;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let found = all(&bus, "safe", 0).await;
    assert_eq!((offsets(&found), damaged(&found)), (vec![0, 1, 2, 3, 4], vec![4]));
}

/// Whoever reads it ends it, so the record must tell whose it is: by its headers, else by its value.
#[tokio::test(flavor = "multi_thread")]
async fn whichever_bit_of_a_requests_record_is_flipped_it_is_known_whose_it_is() {
    let partition = Partition::new("safe", 0);
    let requests: Vec<_> = (0..3)
        .map(|n| Request {
            request_id: RequestId::new(format!("request-{n}")),
            ..samples::request()
        })
        .collect();
    let outgoing =
        |request: &Request| Outgoing::to_partition(&partition, Headers::of(request), encode(request));
    let values: Vec<Bytes> = requests.iter().map(encode).collect();
    for is_closed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let options = if is_closed {
            eager()
        } else {
            EmbeddedOptions::default()
        };
        let bus = open(folder.path(), options);
        bus.publish(requests.iter().map(outgoing).collect(), Vec::new())
            .await
            .unwrap();
        let next = folder.path().join("00000000000000000002.seg");
        eventually("the segment is closed", async || !is_closed || next.exists()).await;
        drop(bus);
        let segment = folder.path().join("00000000000000000001.seg");
        let whole = std::fs::read(&segment).unwrap();
        let ends_at = |n: usize| {
            let mut windows = whole.windows(values[n].len());
            windows.position(|window| window == values[n]).unwrap() + values[n].len()
        };
        // Head and headers of the second one, and its value here and there.
        let (start, value, end) = (ends_at(0), ends_at(1) - values[1].len(), ends_at(1));
        for at in (start..value).chain((value..end).step_by(97)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&segment, &bytes).unwrap();
            let bus = open(folder.path(), EmbeddedOptions::default());
            let found = all(&bus, "safe", 0).await;
            let what = format!("byte {at} of {start}..{value}..{end}, closed: {is_closed}");
            assert_eq!(damaged(&found)[..], [1], "{what}");
            assert_eq!(
                found[1].headers.request_id().unwrap().as_str(),
                "request-1",
                "{what}"
            );
            assert_eq!(
                found[1].headers.tenant(),
                Some(requests[1].tenant.clone()),
                "{what}"
            );
            assert_eq!(found[1].headers.deadline(), Some(requests[1].deadline), "{what}");
        }
    }
}

async fn next_offset(consumer: &mut dyn Consumer) -> i64 {
    loop {
        if let ConsumerEvent::Records(records) = consumer.next().await.unwrap() {
            return records[0].position.offset;
        }
    }
}

/// Two heads are lost at once, so that only the second is named by what follows, and the group has read the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_read_what_is_lost_at_the_end_is_given_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    let partition = Partition::new("safe", 0);
    bus.publish(vec![record("fast", 1, "before-them")], Vec::new())
        .await
        .unwrap();
    let read = Commit {
        group: "g".to_owned(),
        partition: partition.clone(),
        next: 1,
    };
    let both = vec![record("safe", 0, "the-first"), record("fast", 0, "the-second")];
    bus.publish(both, vec![read]).await.unwrap();
    drop(bus);
    let segment = folder.path().join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let start = find(&bytes, "before-them") + "before-them".len();
    let end = find(&bytes, "the-second") + "the-second".len();
    bytes[start..end].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let bus = open(folder.path(), EmbeddedOptions::default());
    assert_eq!(bus.committed("g", &partition).await.unwrap(), Some(1));
    let mut consumer = bus.subscribe("g", &["safe".to_owned()]).await.unwrap();
    let next = bus
        .publish(vec![record("safe", 0, "next")], Vec::new())
        .await
        .unwrap();
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), next_offset(&mut *consumer)).await;
    assert_eq!(read.ok(), Some(next[0].offset), "what was published is read");
}
