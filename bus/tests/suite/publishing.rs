//! What happens to a record on its way in.

use bytes::Bytes;
use relay_bus::{BusError, Headers, OffsetRange, Outgoing, Partition, StartAt};

use super::{Column, keyed, manifest, placed, read, texts};

pub async fn positions_come_back_in_order_and_the_range_tells_them(column: &Column) {
    let topic = column.make("t", 2).await;
    let partition = Partition::new(&topic, 1);
    let empty = column.bus.range(&partition).await.unwrap();
    assert_eq!(empty, OffsetRange { low: 0, high: 0 });
    let records = (0..5).map(|n| placed(&topic, 1, &n.to_string())).collect();
    let positions = column.bus.publish(records, Vec::new()).await.unwrap();
    let offsets: Vec<i64> = positions.iter().map(|position| position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
    assert!(positions.iter().all(|position| position.partition == partition));
    let more = column
        .bus
        .publish(vec![placed(&topic, 1, "5")], Vec::new())
        .await
        .unwrap();
    assert_eq!(more[0].offset, 5);
    assert_eq!(
        column.bus.range(&partition).await.unwrap(),
        OffsetRange { low: 0, high: 6 }
    );
}

pub async fn records_of_one_key_keep_their_order(column: &Column) {
    let topic = column.make("t", 4).await;
    for n in 0..50 {
        let records = ["a", "b", "c"].map(|key| keyed(&topic, key, &format!("{key}{n}")));
        column.bus.publish(records.to_vec(), Vec::new()).await.unwrap();
    }
    let from = (0..4)
        .map(|n| (Partition::new(&topic, n), StartAt::Start))
        .collect();
    let mut reader = column.bus.read(from).await.unwrap();
    let found = texts(&read(&mut reader, 150).await);
    for key in ["a", "b", "c"] {
        let of_key: Vec<&String> = found.iter().filter(|value| value.starts_with(key)).collect();
        let expected: Vec<String> = (0..50).map(|n| format!("{key}{n}")).collect();
        assert_eq!(of_key, expected.iter().collect::<Vec<_>>());
    }
}

pub async fn a_key_lies_where_kafkas_own_clients_put_it(column: &Column) {
    let topic = column.make("t", 6).await;
    // As the Java client's `Utils.toPositive(Utils.murmur2(key)) % 6` says.
    let cases: [(&[u8], i32); 9] = [
        (b"21", 0),
        (b"foobar", 0),
        (b"a-little-bit-long-string", 2),
        (b"a-little-bit-longer-string", 5),
        (b"abc", 3),
        (b"tenant-1", 1),
        (b"tenant-2", 0),
        (b"\xff\xfe", 3),
        (b"0198f0c2-7d3e", 4),
    ];
    for (key, partition) in cases {
        let record = Outgoing::keyed(&topic, Bytes::from_static(key), Headers::default(), Bytes::new());
        let positions = column.bus.publish(vec![record], Vec::new()).await.unwrap();
        assert_eq!(positions[0].partition.partition, partition, "{key:?}");
    }
}

pub async fn a_chosen_partition_is_obeyed(column: &Column) {
    let topic = column.make("t", 3).await;
    for partition in [2, 0, 1] {
        let mut record = keyed(&topic, "one-key", "x");
        record.partition = Some(partition);
        let positions = column.bus.publish(vec![record], Vec::new()).await.unwrap();
        assert_eq!(positions[0].partition.partition, partition);
    }
    assert_eq!(column.bus.partitions(&topic).await.unwrap(), 3);
}

pub async fn headers_empty_values_and_tombstones_come_back(column: &Column) {
    let topic = column.make("t", 1).await;
    let mut headers = Headers::default();
    headers.set("relay-request-id", "0198");
    headers.set("bytes", Bytes::from_static(&[0, 255, 10]));
    headers.set("empty", Bytes::new());
    let whole = Outgoing {
        topic: topic.as_str().into(),
        partition: Some(0),
        key: Some(Bytes::from_static(b"k")),
        headers: headers.clone(),
        value: Some(Bytes::new().into()),
    };
    let tombstone = Outgoing {
        value: None,
        ..whole.clone()
    };
    let plain = Outgoing {
        key: None,
        headers: Headers::default(),
        value: Some("v".into()),
        ..whole.clone()
    };
    column
        .bus
        .publish(vec![whole, tombstone, plain], Vec::new())
        .await
        .unwrap();
    let mut reader = column
        .bus
        .read(vec![(Partition::new(&topic, 0), StartAt::Start)])
        .await
        .unwrap();
    let found = read(&mut reader, 3).await;
    assert_eq!(found[0].headers, headers);
    assert_eq!(found[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(found[0].value.as_deref(), Some(&b""[..]));
    assert_eq!(found[1].headers, headers);
    assert_eq!(found[1].value, None);
    assert_eq!(
        (found[2].key.clone(), found[2].value.as_deref()),
        (None, Some(&b"v"[..]))
    );
    assert_eq!(found[2].headers, Headers::default());
    assert!(found[0].timestamp.0 > 1_600_000_000_000);
}

pub async fn a_record_over_the_limit_is_refused_and_names_the_limit(column: &Column) {
    let topic = column.make("t", 1).await;
    let fits = placed(&topic, 0, &"x".repeat(60_000));
    column.bus.publish(vec![fits], Vec::new()).await.unwrap();
    let large = placed(&topic, 0, &"x".repeat(70_000));
    let refused = column.bus.publish(vec![large], Vec::new()).await;
    match refused {
        Err(BusError::TooLarge {
            topic: named,
            size,
            limit,
        }) => {
            assert_eq!(named, topic);
            assert!(size >= 70_000 && limit == 65_536, "{size} of {limit}");
        }
        other => panic!("expected TooLarge, got {other:?}"),
    }
    assert_eq!(
        column.bus.range(&Partition::new(&topic, 0)).await.unwrap().high,
        1
    );
}

pub async fn an_unknown_topic_is_named(column: &Column) {
    let unknown = column.topic("nowhere");
    let partition = Partition::new(&unknown, 0);
    let is_unknown = |error: Option<BusError>| {
        assert!(
            matches!(&error, Some(BusError::UnknownTopic(name)) if *name == unknown),
            "{error:?}"
        );
    };
    is_unknown(
        column
            .bus
            .publish(vec![placed(&unknown, 0, "x")], Vec::new())
            .await
            .err(),
    );
    is_unknown(
        column
            .bus
            .publish(vec![keyed(&unknown, "k", "x")], Vec::new())
            .await
            .err(),
    );
    is_unknown(
        column
            .bus
            .subscribe(&column.group("g"), std::slice::from_ref(&unknown))
            .await
            .err(),
    );
    is_unknown(
        column
            .bus
            .read(vec![(partition.clone(), StartAt::Start)])
            .await
            .err(),
    );
    is_unknown(column.bus.partitions(&unknown).await.err());
    is_unknown(column.bus.range(&partition).await.err());
}

pub async fn applying_a_manifest_twice_changes_nothing_and_partitions_only_grow(column: &Column) {
    let topic = column.make("t", 1).await;
    column
        .bus
        .publish(vec![placed(&topic, 0, "kept")], Vec::new())
        .await
        .unwrap();
    for (asked, expected) in [(1, 1), (3, 3), (2, 3)] {
        let yaml = format!("[{{ name: {topic}, partitions: {asked} }}]");
        let lines = column.bus.apply(&manifest(&yaml)).await.unwrap();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains(&topic), "{lines:?}");
        assert_eq!(column.bus.partitions(&topic).await.unwrap(), expected);
    }
    column
        .bus
        .publish(vec![placed(&topic, 2, "new")], Vec::new())
        .await
        .unwrap();
    assert_eq!(
        column.bus.range(&Partition::new(&topic, 0)).await.unwrap().high,
        1
    );
}

pub async fn a_probe_answers(column: &Column) {
    column.bus.probe().await.unwrap();
}
