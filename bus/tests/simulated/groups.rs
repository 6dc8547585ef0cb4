//! Members that are silent, killed, or thrown out.

use std::time::Duration;

use relay_bus::simulated::{Faults, Happened};
use relay_bus::{Bus, Partition};

use crate::house::{BROKERS, COLUMNS, Member, SESSION, commit, fill, log, process};

const MOMENT: Duration = Duration::from_secs(1);
/// A moment less than a session.
const NEARLY: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn the_partitions_of_a_killed_process_go_to_others_when_its_session_ends() {
    for is_dropped in [true, false] {
        let log = log(1);
        let (first, second) = (process(&log, "a", BROKERS), process(&log, "b", BROKERS));
        fill(&second.bus, 0, 3).await;
        let mut dead = Member::join(&first).await;
        dead.during(MOMENT).await;
        assert_eq!((dead.owned.as_slice(), dead.read.len()), (&[0, 1][..], 3));
        first.life.kill();
        // Its task may be found and ended, or not.
        let dead = (!is_dropped).then_some(dead);
        let mut heir = Member::join(&second).await;
        heir.during(NEARLY).await;
        assert_eq!(heir.owned, [] as [i32; 0]);
        heir.during(2 * MOMENT).await;
        assert_eq!((heir.owned.as_slice(), heir.read.len()), (&[0, 1][..], 3));
        assert!(log.take_happened()[&Happened::SessionEnded] >= 1);
        drop(dead);
    }
}

/// Found by `service`: its watch went on as if it were still there.
#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_while_nothing_comes_through_has_left_when_its_session_ends() {
    let log = log(1);
    let (first, second) = (process(&log, "a", BROKERS), process(&log, "b", BROKERS));
    let mut gone = Member::join(&first).await;
    gone.during(MOMENT).await;
    log.reach("a", false);
    drop(gone);
    tokio::time::sleep(MOMENT).await;
    log.reach("a", true);
    let mut heir = Member::join(&second).await;
    heir.during(SESSION).await;
    assert_eq!(heir.owned, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_process_in_its_own_log_takes_its_places_with_it() {
    let log = log(1);
    let [first, second] = ["a", "b"].map(|name| process(&log, name, COLUMNS[0]));
    let mut dead = Member::join(&first).await;
    dead.during(MOMENT).await;
    first.life.kill();
    let mut heir = Member::join(&second).await;
    heir.during(Duration::from_millis(10)).await;
    assert_eq!(heir.owned, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_silent_for_too_long_is_told_when_it_wakes_and_its_late_commit_is_void() {
    // It stood still, or nothing came through.
    for stood_still in [true, false] {
        let log = log(1);
        let (first, second) = (process(&log, "a", BROKERS), process(&log, "b", BROKERS));
        fill(&second.bus, 0, 3).await;
        let mut silent = Member::join(&first).await;
        silent.during(MOMENT).await;
        if stood_still {
            first.life.freeze();
        } else {
            log.reach("a", false);
        }
        let mut heir = Member::join(&second).await;
        tokio::join!(heir.during(2 * SESSION), silent.during(2 * SESSION));
        assert_eq!((heir.owned.as_slice(), heir.read.len()), (&[0, 1][..], 3));
        assert_eq!(
            (silent.owned.as_slice(), silent.told.len()),
            (&[0, 1][..], 1),
            "it knows of nothing"
        );
        first.life.thaw();
        log.reach("a", true);
        first.bus.publish(Vec::new(), commit(0, 3)).await.unwrap();
        let partition = Partition::new("fast", 0);
        assert_eq!(first.bus.committed("g", &partition).await.unwrap(), None);
        assert_eq!(log.take_happened()[&Happened::CommitVoid], 1);
        tokio::join!(heir.during(MOMENT), silent.during(MOMENT));
        assert_eq!(silent.told, ["assigned", "revoked", "assigned"]);
        assert_eq!((silent.owned.len(), heir.owned.len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_silent_for_a_moment_keeps_its_place() {
    let log = log(1);
    let first = process(&log, "a", BROKERS);
    let mut member = Member::join(&first).await;
    member.during(MOMENT).await;
    for _ in 0..3 {
        first.life.freeze();
        member.during(NEARLY).await;
        first.life.thaw();
        member.during(MOMENT).await;
    }
    assert_eq!(
        (member.told.as_slice(), member.owned.as_slice()),
        (&["assigned"][..], &[0, 1][..])
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_loses_its_place_reads_again_what_lies_behind_its_commit() {
    for column in COLUMNS {
        let log = log(1);
        let process = process(&log, "a", column);
        fill(&process.bus, 0, 4).await;
        let mut member = Member::join(&process).await;
        member.during(MOMENT).await;
        member.consumer.commit(commit(0, 2)).await.unwrap();
        log.be(Faults {
            place_lost: 1000,
            ..Faults::default()
        });
        // Each wait throws it out, so that it is told of nothing else.
        member.step().await;
        log.be(Faults::default());
        member.during(MOMENT).await;
        assert_eq!(member.told, ["assigned", "revoked", "assigned"], "{column:?}");
        assert_eq!(member.read, ["0", "1", "2", "3", "2", "3"], "{column:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_waits_and_what_a_dropped_wait_was_to_bring_comes_later() {
    for column in COLUMNS {
        let log = log(1);
        let process = process(&log, "a", column);
        let mut member = Member::join(&process).await;
        member.during(MOMENT).await;
        log.be(crate::house::delays(40));
        let paused = [Partition::new("fast", 0)];
        member.consumer.pause(&paused).await.unwrap();
        fill(&process.bus, 0, 2).await;
        fill(&process.bus, 1, 2).await;
        for _ in 0..200 {
            member.during(Duration::from_millis(5)).await;
        }
        assert_eq!(member.read.len(), 2, "{column:?}");
        member.consumer.resume(&paused).await.unwrap();
        for _ in 0..200 {
            member.during(Duration::from_millis(5)).await;
        }
        assert_eq!(member.read, ["0", "1", "0", "1"], "{column:?}");
    }
}
