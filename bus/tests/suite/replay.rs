//! Reading again, outside any group.

use std::time::Duration;

use relay_bus::{Partition, StartAt};
use relay_schemas::TimestampMs;

use super::{Column, placed, read, texts};

async fn publish(column: &Column, topic: &str, range: std::ops::Range<i32>) {
    for n in range {
        column
            .bus
            .publish(vec![placed(topic, 0, &n.to_string())], Vec::new())
            .await
            .unwrap();
    }
}

async fn reading(column: &Column, topic: &str, start: StartAt) -> Box<dyn relay_bus::Reader> {
    column
        .bus
        .read(vec![(Partition::new(topic, 0), start)])
        .await
        .unwrap()
}

pub async fn from_an_offset(column: &Column) {
    let topic = column.make("t", 1).await;
    publish(column, &topic, 0..6).await;
    for (from, expected) in [(0, 6), (4, 2), (5, 1)] {
        let mut reader = reading(column, &topic, StartAt::Offset(from)).await;
        let found = read(&mut reader, expected).await;
        let offsets: Vec<i64> = found.iter().map(|record| record.position.offset).collect();
        assert_eq!(offsets, (from..6).collect::<Vec<_>>());
    }
}

pub async fn from_a_time(column: &Column) {
    let topic = column.make("t", 1).await;
    publish(column, &topic, 0..3).await;
    let mut reader = reading(column, &topic, StartAt::Start).await;
    let last = read(&mut reader, 3).await[2].timestamp;
    while relay_clock::Clock::system().now() <= last {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let instant = relay_clock::Clock::system().now();
    publish(column, &topic, 3..6).await;
    let mut reader = reading(column, &topic, StartAt::Time(instant)).await;
    assert_eq!(texts(&read(&mut reader, 3).await), ["3", "4", "5"]);
    let mut reader = reading(column, &topic, StartAt::Time(TimestampMs(0))).await;
    assert_eq!(texts(&read(&mut reader, 6).await).len(), 6);
}

pub async fn from_the_end_only_what_comes_after(column: &Column) {
    let topic = column.make("t", 1).await;
    publish(column, &topic, 0..3).await;
    let mut reader = reading(column, &topic, StartAt::End).await;
    publish(column, &topic, 3..5).await;
    assert_eq!(texts(&read(&mut reader, 2).await), ["3", "4"]);
    // A time that nothing has reached yet is the end too.
    let later = TimestampMs(relay_clock::Clock::system().now().0 + 3_600_000);
    let from = vec![(Partition::new(&topic, 0), StartAt::Time(later))];
    let mut waiting = column.bus.read(from).await.unwrap();
    let nothing = tokio::time::timeout(Duration::from_millis(300), waiting.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

pub async fn a_reader_waits_for_more_and_needs_no_group(column: &Column) {
    let topic = column.make("t", 2).await;
    let from = (0..2)
        .map(|n| (Partition::new(&topic, n), StartAt::Start))
        .collect();
    let mut reader = column.bus.read(from).await.unwrap();
    let publisher = async {
        for n in 0..10 {
            let value = n.to_string();
            column
                .bus
                .publish(vec![placed(&topic, n % 2, &value)], Vec::new())
                .await
                .unwrap();
        }
    };
    let (mut found, ()) = tokio::join!(read(&mut reader, 10), publisher);
    found.sort_by_key(|record| record.position.offset * 2 + i64::from(record.position.partition.partition));
    assert_eq!(texts(&found), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}
