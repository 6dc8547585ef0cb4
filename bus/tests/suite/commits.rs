//! What a group has finished.

use relay_bus::{Commit, Partition};

use super::{Column, committed, placed, read, records, texts};

fn commit(group: &str, partition: &Partition, next: i64) -> Vec<Commit> {
    vec![Commit {
        group: group.to_owned(),
        partition: partition.clone(),
        next,
    }]
}

async fn input(column: &Column, count: usize) -> (String, Partition) {
    let topic = column.make("in", 1).await;
    let values = (0..count).map(|n| placed(&topic, 0, &n.to_string())).collect();
    column.bus.publish(values, Vec::new()).await.unwrap();
    let partition = Partition::new(&topic, 0);
    (topic, partition)
}

pub async fn a_commit_travels_with_the_publish(column: &Column) {
    let (topic, partition) = input(column, 3).await;
    let output = column.make("out", 1).await;
    let group = column.group("g");
    assert_eq!(column.bus.committed(&group, &partition).await.unwrap(), None);
    let mut consumer = column
        .bus
        .subscribe(&group, std::slice::from_ref(&topic))
        .await
        .unwrap();
    records(&mut consumer, 3).await;
    let commits = commit(&group, &partition, 2);
    column
        .bus
        .publish(vec![placed(&output, 0, "done")], commits)
        .await
        .unwrap();
    committed(column, &group, &partition, 2).await;
    assert_eq!(
        column.bus.range(&Partition::new(&output, 0)).await.unwrap().high,
        1
    );
    consumer.commit(commit(&group, &partition, 3)).await.unwrap();
    committed(column, &group, &partition, 3).await;
    assert_eq!(
        column
            .bus
            .committed(&column.group("other"), &partition)
            .await
            .unwrap(),
        None
    );
}

pub async fn what_was_not_committed_is_delivered_again(column: &Column) {
    let (topic, partition) = input(column, 5).await;
    let group = column.group("g");
    let mut consumer = column
        .bus
        .subscribe(&group, std::slice::from_ref(&topic))
        .await
        .unwrap();
    assert_eq!(texts(&records(&mut consumer, 5).await), ["0", "1", "2", "3", "4"]);
    consumer.commit(commit(&group, &partition, 2)).await.unwrap();
    drop(consumer);
    let mut successor = column.bus.subscribe(&group, &[topic]).await.unwrap();
    assert_eq!(texts(&records(&mut successor, 3).await), ["2", "3", "4"]);
}

pub async fn many_in_flight_commit_only_the_lowest_contiguous(column: &Column) {
    let (topic, partition) = input(column, 4).await;
    let output = column.make("out", 1).await;
    let group = column.group("g");
    let mut consumer = column
        .bus
        .subscribe(&group, std::slice::from_ref(&topic))
        .await
        .unwrap();
    records(&mut consumer, 4).await;
    // They finish in the order 2, 0, 3; number 1 never does. What may be committed after each: nothing, 1, 1.
    for (finished, next) in [("2", None), ("0", Some(1)), ("3", Some(1))] {
        let commits = next.map_or_else(Vec::new, |next| commit(&group, &partition, next));
        column
            .bus
            .publish(vec![placed(&output, 0, finished)], commits)
            .await
            .unwrap();
        match next {
            Some(next) => committed(column, &group, &partition, next).await,
            None => assert_eq!(column.bus.committed(&group, &partition).await.unwrap(), None),
        }
    }
    consumer.leave().await.unwrap();
    let mut successor = column.bus.subscribe(&group, &[topic]).await.unwrap();
    assert_eq!(texts(&records(&mut successor, 3).await), ["1", "2", "3"]);
}

pub async fn a_stale_commit_sets_no_group_back_and_one_that_nobody_reads_as_may_be(column: &Column) {
    let (topic, partition) = input(column, 4).await;
    let group = column.group("g");
    let mut consumer = column
        .bus
        .subscribe(&group, std::slice::from_ref(&topic))
        .await
        .unwrap();
    records(&mut consumer, 4).await;
    let publish = async |next| {
        let commits = commit(&group, &partition, next);
        column.bus.publish(Vec::new(), commits).await.unwrap();
    };
    publish(3).await;
    committed(column, &group, &partition, 3).await;
    publish(1).await;
    consumer.commit(commit(&group, &partition, 2)).await.unwrap();
    let both = [2, 4].map(|next| commit(&group, &partition, next)).concat();
    let told = async || column.bus.committed(&group, &partition).await.unwrap();
    assert_eq!(told().await, Some(3));
    column.bus.publish(Vec::new(), both).await.unwrap();
    committed(column, &group, &partition, 4).await;
    consumer.leave().await.unwrap();
    publish(1).await;
    committed(column, &group, &partition, 1).await;
    let mut successor = column.bus.subscribe(&group, &[topic]).await.unwrap();
    assert_eq!(texts(&records(&mut successor, 3).await), ["1", "2", "3"]);
}

pub async fn a_commit_from_before_its_partition_went_away_and_came_back_sets_nothing_back(column: &Column) {
    let (topic, partition) = input(column, 4).await;
    let group = column.group("g");
    let join = async || {
        let joined = column.bus.subscribe(&group, std::slice::from_ref(&topic)).await;
        joined.unwrap()
    };
    let mut first = join().await;
    records(&mut first, 4).await;
    first.leave().await.unwrap();
    let mut second = join().await;
    records(&mut second, 4).await;
    second.commit(commit(&group, &partition, 3)).await.unwrap();
    second.leave().await.unwrap();
    let mut third = join().await;
    assert_eq!(texts(&records(&mut third, 1).await), ["3"]);
    // What the first one had under way is acknowledged only now.
    let late = commit(&group, &partition, 1);
    column.bus.publish(Vec::new(), late).await.unwrap();
    assert_eq!(column.bus.committed(&group, &partition).await.unwrap(), Some(3));
}

pub async fn nothing_committed_means_from_the_start(column: &Column) {
    let (topic, partition) = input(column, 2).await;
    let mut consumer = column.bus.subscribe(&column.group("g"), &[topic]).await.unwrap();
    assert_eq!(texts(&records(&mut consumer, 2).await), ["0", "1"]);
    let start = relay_bus::StartAt::Start;
    let mut reader = column.bus.read(vec![(partition, start)]).await.unwrap();
    assert_eq!(texts(&read(&mut reader, 2).await), ["0", "1"]);
}
