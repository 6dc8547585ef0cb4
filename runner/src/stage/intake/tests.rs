//! Partitions that wait, and that bring nothing.

use relay_bus::testing::FaultyBus;
use relay_bus::topics::Manifest;
use relay_bus::{Headers, Outgoing};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

async fn member(runtime: &Runtime) -> Intake {
    let options = Arc::new(StageOptions::new("g", vec!["t".to_owned()]));
    let opened = Intake::open(runtime, options).await.expect("it joins");
    opened.expect("nothing drains")
}

async fn until(intake: &mut Intake, wanted: bool, holds: impl Fn(&Intake) -> bool) {
    let follow = async {
        while !holds(intake) {
            let step = tokio::time::timeout(PAUSE_AFTER * 2, intake.next(wanted)).await;
            step.unwrap_or(Ok(IntakeEvent::Records)).expect("the bus works");
        }
    };
    let held = tokio::time::timeout(PATIENCE, follow).await;
    held.expect("it comes to hold");
}

#[tokio::test]
async fn partitions_that_were_paused_before_others_came_flow_once_they_are_wanted_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let bus = Arc::new(FaultyBus::with_topics(folder.path(), &["t"]));
    let manifest = Manifest::parse("pools: [p]\ntopics: [{ name: t, partitions: 4 }]");
    bus.apply(&manifest.expect("a manifest")).await.expect("it grows");
    let runtime = Runtime::new(bus.clone());
    let (mut first, mut second) = (member(&runtime).await, member(&runtime).await);
    until(&mut first, true, |first| first.owned().len() == 2).await;
    until(&mut second, true, |second| second.owned().len() == 2).await;
    until(&mut first, false, |first| first.paused == Some(true)).await;
    // The outage ends while a slow hook is told of the partitions that the other one left.
    second.leave().await;
    until(&mut first, false, |first| first.owned().len() == 4).await;
    for number in 0..4 {
        let record = Outgoing::to_partition(&Partition::new("t", number), Headers::default(), "v");
        bus.publish(vec![record], Vec::new()).await.expect("it is taken");
    }
    until(&mut first, true, |first| first.waiting.len() == 4).await;
}
#[tokio::test]
async fn a_group_to_which_nothing_comes_though_there_is_something_is_told_to_stand_still_until_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let bus = Arc::new(FaultyBus::with_topics(folder.path(), &["t"]));
    let manifest = Manifest::parse("pools: [p]\ntopics: [{ name: t, partitions: 2 }]");
    bus.apply(&manifest.expect("a manifest")).await.expect("it grows");
    let runtime = Runtime::new(bus.clone());
    let mut member = member(&runtime).await;
    until(&mut member, true, |member| member.owned().len() == 2).await;
    let partition = Partition::new("t", 0);
    let put = async || {
        let record = Outgoing::to_partition(&partition, Headers::default(), "v");
        let taken = bus.publish(vec![record], Vec::new()).await;
        taken.expect("it is taken");
    };
    // Nothing has come of it since it is this member's.
    let silent = std::slice::from_ref(&partition);
    let paused = member.consumer.pause(silent).await;
    paused.expect("it is paused behind our back");
    put().await;
    until(&mut member, true, |_| runtime.watchdog.count() == 1).await;
    // What comes of another partition does not mend this one.
    let other = Outgoing::to_partition(&Partition::new("t", 1), Headers::default(), "v");
    bus.publish(vec![other], Vec::new()).await.expect("it is taken");
    until(&mut member, true, |member| member.waiting.len() == 1).await;
    assert_eq!(runtime.watchdog.count(), 1);
    member.consumer.resume(silent).await.expect("it is resumed");
    until(&mut member, true, |member| member.waiting.len() == 2).await;
    assert_eq!(runtime.watchdog.count(), 0);
}
