//! Members share the work of a group.

use std::collections::BTreeSet;

use relay_bus::{ConsumerEvent, Partition};

use super::{Column, event, owning, placed, records, text, texts};

async fn publish(column: &Column, topic: &str, partitions: i32, name: &str, each: usize) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    for partition in 0..partitions {
        for n in 0..each {
            let value = format!("{name}-{partition}-{n}");
            column
                .bus
                .publish(vec![placed(topic, partition, &value)], Vec::new())
                .await
                .unwrap();
            values.insert(value);
        }
    }
    values
}

pub async fn members_split_the_partitions_and_each_record_is_read_once(column: &Column) {
    let topic = column.make("t", 6).await;
    let (group, topics) = (column.group("g"), [topic.clone()]);
    let mut first = column.bus.subscribe(&group, &topics).await.unwrap();
    let (mut owned, mut other) = (Vec::new(), Vec::new());
    owning(&mut first, &mut owned, 6).await;
    let mut second = column.bus.subscribe(&group, &topics).await.unwrap();
    tokio::join!(
        owning(&mut first, &mut owned, 3),
        owning(&mut second, &mut other, 3)
    );
    let all: BTreeSet<Partition> = owned.iter().chain(&other).cloned().collect();
    assert_eq!(all.len(), 6, "{owned:?} {other:?}");
    let published = publish(column, &topic, 6, "v", 5).await;
    let (one, two) = tokio::join!(records(&mut first, 15), records(&mut second, 15));
    assert!(
        one.iter()
            .all(|record| owned.contains(&record.position.partition))
    );
    assert!(
        two.iter()
            .all(|record| other.contains(&record.position.partition))
    );
    let read: BTreeSet<String> = one.iter().chain(&two).map(text).collect();
    assert_eq!(read, published);
}

async fn takes_over(column: &Column, leaves: bool) {
    let topic = column.make("t", 4).await;
    let (group, topics) = (column.group("g"), [topic.clone()]);
    let mut first = column.bus.subscribe(&group, &topics).await.unwrap();
    let (mut owned, mut other) = (Vec::new(), Vec::new());
    owning(&mut first, &mut owned, 4).await;
    let mut second = column.bus.subscribe(&group, &topics).await.unwrap();
    tokio::join!(
        owning(&mut first, &mut owned, 2),
        owning(&mut second, &mut other, 2)
    );
    if leaves {
        first.leave().await.unwrap();
    } else {
        drop(first);
    }
    let early = owning(&mut second, &mut other, 4).await;
    assert!(early.is_empty());
    let published = publish(column, &topic, 4, "after", 1).await;
    let read: BTreeSet<String> = records(&mut second, 4).await.iter().map(text).collect();
    assert_eq!(read, published);
}

pub async fn a_member_that_is_dropped_is_replaced(column: &Column) {
    takes_over(column, false).await;
}

pub async fn a_member_that_leaves_hands_over(column: &Column) {
    takes_over(column, true).await;
}

pub async fn two_groups_each_read_everything(column: &Column) {
    let topic = column.make("t", 2).await;
    let published = publish(column, &topic, 2, "v", 3).await;
    for name in ["one", "two"] {
        let mut consumer = column
            .bus
            .subscribe(&column.group(name), &[topic.clone()])
            .await
            .unwrap();
        let read: BTreeSet<String> = records(&mut consumer, 6).await.iter().map(text).collect();
        assert_eq!(read, published);
    }
}

pub async fn a_paused_partition_waits_and_goes_on(column: &Column) {
    let topic = column.make("t", 2).await;
    let mut consumer = column
        .bus
        .subscribe(&column.group("g"), &[topic.clone()])
        .await
        .unwrap();
    owning(&mut consumer, &mut Vec::new(), 2).await;
    let paused = [Partition::new(&topic, 0)];
    consumer.pause(&paused).await.unwrap();
    column
        .bus
        .publish(vec![placed(&topic, 0, "waits")], Vec::new())
        .await
        .unwrap();
    for n in 0..20 {
        let value = format!("flows{n}");
        column
            .bus
            .publish(vec![placed(&topic, 1, &value)], Vec::new())
            .await
            .unwrap();
        assert_eq!(texts(&records(&mut consumer, 1).await), [value]);
    }
    consumer.resume(&paused).await.unwrap();
    match event(&mut consumer).await {
        ConsumerEvent::Records(records) => assert_eq!(texts(&records), ["waits"]),
        other => panic!("expected the record that waited, got {other:?}"),
    }
}
