//! On the way to the log and back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::simulated::{Column, Faults, Happened};
use relay_bus::{Bus, BusError, Partition, Room};

use crate::house::{BROKERS, COLUMNS, commit, delays, held, log, placed, process};

const OFTEN: u32 = 300;

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_not_there() {
    for column in COLUMNS {
        let log = log(1);
        let process = process(&log, "a", column);
        log.be(Faults {
            not_taken: OFTEN,
            ..Faults::default()
        });
        let mut taken = Vec::new();
        for n in 0..100 {
            let value = n.to_string();
            match process
                .bus
                .publish(vec![placed("fast", 0, value.clone())], Vec::new())
                .await
            {
                Ok(_) => taken.push(value),
                Err(BusError::Full(_) | BusError::Failing(_)) => assert_eq!(column, Column::InProcess),
                Err(error) => assert!(matches!(error, BusError::Unavailable(_)), "{error}"),
            }
        }
        assert!((1..100).contains(&taken.len()));
        assert_eq!(
            log.take_happened()[&Happened::NotTaken] as usize,
            100 - taken.len()
        );
        assert_eq!(held(&log, "fast", 0).await, taken);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_there_also_where_its_acknowledgement_was_lost() {
    for column in COLUMNS {
        let log = log(1);
        let process = process(&log, "a", column);
        log.be(Faults {
            acknowledgement_lost: OFTEN,
            ..Faults::default()
        });
        let mut unknown = 0;
        for n in 0..100 {
            let published = process
                .bus
                .publish(vec![placed("fast", 0, n.to_string())], Vec::new());
            match published.await {
                Ok(_) => {}
                Err(BusError::Unavailable(_)) => unknown += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!((1..100).contains(&unknown));
        assert_eq!(held(&log, "fast", 0).await.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_publish_that_is_taken_in_part_each_partition_has_a_beginning() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let log = log(seed);
        let process = process(&log, "a", BROKERS);
        log.be(Faults {
            in_part: 1000,
            ..Faults::default()
        });
        let records = (0..4).flat_map(|n| [0, 1].map(|partition| placed("fast", partition, format!("{n}"))));
        let published = process.bus.publish(records.collect(), Vec::new()).await;
        let parts = [held(&log, "fast", 0).await, held(&log, "fast", 1).await];
        for part in &parts {
            let beginning: Vec<String> = (0..part.len()).map(|n| n.to_string()).collect();
            assert_eq!(*part, beginning);
        }
        let parts = parts.map(|part| part.len());
        assert_eq!(published.is_ok(), parts == [4, 4], "{published:?} {parts:?}");
        seen.insert(parts);
    }
    assert!(seen.len() > 8, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn records_of_one_partition_keep_their_order_and_partitions_do_not_wait_for_each_other() {
    let mut overtaken = 0;
    for seed in 0..10 {
        for column in COLUMNS {
            let log = log(seed);
            let process = process(&log, "a", column);
            log.be(delays(20));
            let publishes = (0..20).map(|n| {
                let record = placed("fast", n % 2, n.to_string());
                process.bus.publish(vec![record], Vec::new())
            });
            futures::future::try_join_all(publishes).await.unwrap();
            for partition in [0, 1] {
                let expected = (0..10).map(|n| (2 * n + partition).to_string());
                assert_eq!(held(&log, "fast", partition).await, expected.collect::<Vec<_>>());
            }
        }
        let log = log(seed);
        let process = process(&log, "a", BROKERS);
        log.be(delays(20));
        let first = process.bus.publish(vec![placed("fast", 0, "first")], Vec::new());
        let second = process.bus.publish(vec![placed("fast", 1, "second")], Vec::new());
        tokio::select! {
            biased;
            _ = first => {}
            _ = second => overtaken += 1,
        }
    }
    assert!((1..10).contains(&overtaken), "{overtaken}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_hears_of_nothing_and_what_it_had_under_way_is_there_or_not() {
    for column in COLUMNS {
        let mut there = 0;
        for seed in 0..40 {
            let log = log(seed);
            let process = process(&log, "a", column);
            log.be(delays(20));
            let bus = Arc::clone(&process.bus);
            let publishing =
                tokio::spawn(async move { bus.publish(vec![placed("fast", 0, "x")], Vec::new()).await });
            tokio::time::sleep(Duration::from_millis(8)).await;
            let acknowledged = publishing.is_finished();
            process.life.kill();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(publishing.is_finished(), acknowledged);
            let held = held(&log, "fast", 0).await.len();
            assert!(held == 1 || !acknowledged);
            there += held;
        }
        assert!((1..40).contains(&there), "{there}");
    }
}

#[tokio::test(start_paused = true)]
async fn commits_come_behind_their_publish_on_brokers_and_with_it_in_the_process() {
    for column in COLUMNS {
        let mut alone = 0;
        for seed in 0..30 {
            let log = log(seed);
            let process = process(&log, "a", column);
            log.be(delays(20));
            let published = process.bus.publish(vec![placed("fast", 0, "x")], commit(0, 1));
            published.await.unwrap();
            process.life.kill();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(held(&log, "fast", 0).await.len(), 1);
            let witness = log.process("a witness", Arc::default(), BROKERS);
            let committed = witness.committed("g", &Partition::new("fast", 0)).await.unwrap();
            alone += usize::from(committed.is_none());
        }
        assert_eq!(alone > 0, column == BROKERS, "{column:?}: {alone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_stands_still_answers_when_it_goes_on() {
    let log = log(1);
    let process = process(&log, "a", BROKERS);
    log.stand_still();
    let partition = Partition::new("fast", 0);
    let mut range = Box::pin(process.bus.range(&partition));
    assert!(
        tokio::time::timeout(Duration::from_secs(60), &mut range)
            .await
            .is_err()
    );
    log.go_on();
    assert_eq!(range.await.unwrap().high, 0);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_room_where_the_disk_or_chance_leaves_none_and_always_on_brokers() {
    let log = log(1);
    let [inside, far] = COLUMNS.map(|column| process(&log, "a", column));
    assert_eq!(inside.bus.room(), Room::Enough);
    log.be(Faults {
        short: true,
        ..Faults::default()
    });
    assert!(matches!(inside.bus.room(), Room::Reserved { .. }));
    assert_eq!(far.bus.room(), Room::Enough);
    log.be(Faults::default());
    log.disk().limit(1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(inside.bus.room(), Room::Reserved { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_holds_up_what_must_be_on_it() {
    let log = log(1);
    let process = process(&log, "a", Column::InProcess);
    log.be(Faults {
        sync: Duration::from_millis(500),
        ..Faults::default()
    });
    let took = async |topic| {
        let began = tokio::time::Instant::now();
        process
            .bus
            .publish(vec![placed(topic, 0, "x")], Vec::new())
            .await
            .unwrap();
        began.elapsed()
    };
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        assert_eq!(took("fast").await, Duration::ZERO);
        longest = longest.max(took("safe").await);
    }
    assert!(longest > Duration::from_millis(100), "{longest:?}");
}
