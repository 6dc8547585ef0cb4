//! The log falls and rises, is out of reach, and is damaged.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::simulated::{Column, Fall, Happened};
use relay_bus::{Bus, BusError, Partition, StartAt, header};
use relay_clock::LifeState;
use relay_log::simulated::{Aftermath, Call, Fault, Mischief};

use crate::house::{BROKERS, Member, commit, fill, held, log, placed, process, text};

#[tokio::test(start_paused = true)]
async fn a_power_cut_kills_the_process_and_leaves_what_was_to_be_on_disk() {
    let mut lost = 0;
    for seed in 0..20 {
        let log = log(seed);
        let process = process(&log, "a", Column::InProcess);
        let mut safe = 0;
        for n in 0..40_usize {
            let topic = if n % 8 == 0 { "safe" } else { "fast" };
            let records = vec![placed(topic, 0, vec![b'x'; 1500])];
            process.bus.publish(records, Vec::new()).await.unwrap();
            safe += usize::from(topic == "safe");
        }
        log.fall(Fall::PowerCut);
        assert_eq!(process.life.state(), LifeState::Dead);
        log.rise().unwrap();
        assert_eq!(held(&log, "safe", 0).await.len(), safe);
        let fast = held(&log, "fast", 0).await.len();
        assert!((28..=35).contains(&fast), "{fast}");
        lost += 35 - fast;
        let again = self::process(&log, "a", Column::InProcess);
        let at = again
            .bus
            .publish(vec![placed("safe", 0, "more")], Vec::new())
            .await
            .unwrap();
        assert_eq!(at[0].offset, safe as i64);
    }
    assert!(lost > 0, "no cut took anything");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_with_its_log_leaves_what_was_acknowledged_with_its_commits() {
    let log = log(1);
    let first = process(&log, "a", Column::InProcess);
    fill(&first.bus, 0, 4).await;
    first
        .bus
        .publish(vec![placed("fast", 1, "done")], commit(0, 3))
        .await
        .unwrap();
    log.fall(Fall::Killed);
    let publish = first.bus.publish(vec![placed("fast", 0, "late")], Vec::new());
    assert!(
        tokio::time::timeout(Duration::from_secs(60), publish)
            .await
            .is_err()
    );
    log.rise().unwrap();
    let second = process(&log, "a", Column::InProcess);
    let mut member = Member::join(&second).await;
    member.during(Duration::from_secs(1)).await;
    assert_eq!(member.read, ["3", "done"]);
}

#[tokio::test(start_paused = true)]
async fn brokers_that_fall_and_rise_are_out_of_reach_meanwhile_and_nothing_is_lost() {
    let log = log(1);
    let process = process(&log, "a", BROKERS);
    fill(&process.bus, 0, 2).await;
    let mut member = Member::join(&process).await;
    let from = vec![(Partition::new("fast", 0), StartAt::End)];
    let mut reader = process.bus.read(from).await.unwrap();
    member.during(Duration::from_secs(1)).await;
    member.consumer.commit(commit(0, 2)).await.unwrap();
    log.fall(Fall::Killed);
    let away = process
        .bus
        .publish(vec![placed("fast", 0, "away")], Vec::new())
        .await;
    assert!(matches!(away, Err(BusError::Unavailable(_))), "{away:?}");
    assert!(matches!(process.bus.probe().await, Err(BusError::Unavailable(_))));
    member.during(Duration::from_secs(1)).await;
    log.rise().unwrap();
    process.bus.probe().await.unwrap();
    process
        .bus
        .publish(vec![placed("fast", 0, "back")], Vec::new())
        .await
        .unwrap();
    member.during(Duration::from_secs(1)).await;
    assert_eq!(member.told, ["assigned", "revoked", "assigned"]);
    assert_eq!(member.read, ["0", "1", "back"]);
    assert_eq!(
        reader.next().await.unwrap().iter().map(text).collect::<Vec<_>>(),
        ["back"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_process_that_nothing_comes_through_to_is_told_so_and_the_others_go_on() {
    let log = log(1);
    let (off, on) = (process(&log, "a", BROKERS), process(&log, "b", BROKERS));
    let from = vec![(Partition::new("fast", 0), StartAt::Start)];
    let mut reader = off.bus.read(from).await.unwrap();
    log.reach("a", false);
    let refused = off
        .bus
        .publish(vec![placed("fast", 0, "refused")], Vec::new())
        .await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))));
    assert!(matches!(
        off.bus.subscribe("g", &["fast".to_owned()]).await,
        Err(BusError::Unavailable(_))
    ));
    fill(&on.bus, 0, 2).await;
    assert!(
        tokio::time::timeout(Duration::from_secs(60), reader.next())
            .await
            .is_err()
    );
    log.reach("a", true);
    assert_eq!(reader.next().await.unwrap().len(), 2);
    assert_eq!(log.take_happened()[&Happened::OutOfReach], 2);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_or_fails_is_told_in_the_process_and_the_log_goes_on_by_itself() {
    let log = log(1);
    let process = process(&log, "a", Column::InProcess);
    fill(&process.bus, 0, 2).await;
    let publish = async |value: &'static str| {
        process
            .bus
            .publish(vec![placed("safe", 0, value)], Vec::new())
            .await
    };
    log.disk().limit(log.disk().used());
    let full = publish("to a full disk").await;
    assert!(matches!(full, Err(BusError::Full(_))), "{full:?}");
    log.disk().limit(u64::MAX);
    tokio::time::sleep(Duration::from_secs(60)).await;
    publish("to one with room").await.unwrap();
    log.disk().fail(Fault {
        call: Call::Sync,
        after: 0,
        times: 30,
        mischief: Mischief::Io,
        aftermath: Aftermath::Dropped,
    });
    // Known or not, it is told in the end, and then the log goes on.
    let told = tokio::time::timeout(Duration::from_secs(600), publish("to a failing disk")).await;
    let there = usize::from(told.unwrap().is_ok());
    tokio::time::sleep(Duration::from_secs(600)).await;
    process.bus.probe().await.unwrap();
    publish("to a mended disk").await.unwrap();
    assert!(held(&log, "safe", 0).await.len() >= 2 + there);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_says_so_to_whoever_reads_it_from_the_disk() {
    let log = log(1);
    let first = process(&log, "a", Column::InProcess);
    fill(&first.bus, 0, 1).await;
    let value = "a value that is nowhere else";
    first
        .bus
        .publish(vec![placed("safe", 0, value)], Vec::new())
        .await
        .unwrap();
    assert!(!log.damage(b"a value that is nowhere at all"));
    // The housekeeper proves that it was on disk: a damaged end would be cut off as torn.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(log.damage(value.as_bytes()));
    // Nothing is left in memory.
    log.fall(Fall::Killed);
    log.rise().unwrap();
    let bus = log.process("a witness", Arc::default(), BROKERS);
    let from = vec![(Partition::new("safe", 0), StartAt::Start)];
    let mut reader = bus.read(from).await.unwrap();
    let records = tokio::time::timeout(Duration::from_secs(60), reader.next())
        .await
        .unwrap()
        .unwrap();
    assert!(records[0].headers.text(header::DAMAGED).is_some());
}
