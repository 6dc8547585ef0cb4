//! Members share the work of a group.

use std::collections::BTreeSet;

use relay_bus::Partition;

use super::{Column, Member, placed, records, share, text, texts};

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
    let group = column.group("g");
    let mut first = Member::join(column, &group, &topic).await;
    first.owns(6).await;
    let mut second = Member::join(column, &group, &topic).await;
    share(&mut first, &mut second, 3).await;
    let all: BTreeSet<&Partition> = first.owned.iter().chain(&second.owned).collect();
    assert_eq!(all.len(), 6, "{:?} {:?}", first.owned, second.owned);
    let published = publish(column, &topic, 6, "v", 5).await;
    let (one, two) = tokio::join!(
        records(&mut first.consumer, 15),
        records(&mut second.consumer, 15)
    );
    assert!(
        one.iter()
            .all(|record| first.owned.contains(&record.position.partition))
    );
    assert!(
        two.iter()
            .all(|record| second.owned.contains(&record.position.partition))
    );
    let read: BTreeSet<String> = one.iter().chain(&two).map(text).collect();
    assert_eq!(read, published);
}

async fn takes_over(column: &Column, leaves: bool) {
    let topic = column.make("t", 4).await;
    let group = column.group("g");
    let mut first = Member::join(column, &group, &topic).await;
    first.owns(4).await;
    let mut second = Member::join(column, &group, &topic).await;
    share(&mut first, &mut second, 2).await;
    if leaves {
        first.consumer.leave().await.unwrap();
    } else {
        drop(first);
    }
    second.owns(4).await;
    let published = publish(column, &topic, 4, "after", 1).await;
    let read: BTreeSet<String> = records(&mut second.consumer, 4).await.iter().map(text).collect();
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
            .subscribe(&column.group(name), std::slice::from_ref(&topic))
            .await
            .unwrap();
        let read: BTreeSet<String> = records(&mut consumer, 6).await.iter().map(text).collect();
        assert_eq!(read, published);
    }
}

pub async fn a_paused_partition_waits_and_goes_on(column: &Column) {
    let topic = column.make("t", 2).await;
    let mut member = Member::join(column, &column.group("g"), &topic).await;
    member.owns(2).await;
    let mut consumer = member.consumer;
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
    assert_eq!(texts(&records(&mut consumer, 1).await), ["waits"]);
}
