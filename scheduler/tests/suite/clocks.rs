//! Wall clocks that are set: they move no wait, no lease and no deadline.

use std::time::Duration;

use relay_bus::topics;
use relay_clock::{Clock, Timeline};
use relay_runner::Runtime;
use relay_scheduler::Config;
use relay_schemas::{Outcome, OutcomeStatus, TimestampMs};

use crate::records::Spec;
use crate::shell::{PATIENCE, Played, Stand};
use crate::world::World;

const HOUR: i64 = 3_600_000;

/// The wall clock is set by `step_ms`, `now` by the steady one.
fn set(world: &mut World, step_ms: i64) {
    let mut timeline = Timeline::begin(world.now(), world.now());
    timeline.look(world.now().plus_ms(step_ms), world.now());
    world.core.follow_clock(timeline);
}

#[test]
fn what_was_accepted_before_the_wall_clock_was_set_keeps_its_deadline_and_what_comes_after_is_stamped_anew() {
    for step_ms in [HOUR, 3_000, -3_000, -HOUR] {
        let mut world = World::new(Config::default()).with_worker("w", 1, 0);
        world.live(10_000);
        let within_20_s = |id: &str| Spec {
            deadline: 20_000,
            ..Spec::new(id, "t")
        };
        world.offer(&within_20_s("a"));
        world.dispatch();
        world.offer(&within_20_s("queued"));
        set(&mut world, step_ms);
        world.offer(&within_20_s("read later"));
        world.live(9_900);
        assert!(world.fenced.is_empty(), "{step_ms}: its worker shows it");
        assert!(world.outcome("queued").is_none(), "{step_ms}: there is time left");
        assert!(world.outcome("read later").is_none(), "{step_ms}: likewise");
        world.live(200);
        for id in ["queued", "read later"] {
            let outcome = world.outcome(id).unwrap();
            assert_eq!(outcome.status, OutcomeStatus::Expired, "{step_ms}");
            assert!(
                (20_000..=20_200).contains(&outcome.timings.latency_ms),
                "{step_ms}"
            );
        }
        let status = world.core.pool_status(world.now());
        assert_eq!(status.sent_at, world.now().plus_ms(step_ms));
    }
}

/// By reading: after a step of an hour a request's queue was an hour long, and ended after the request.
#[test]
fn all_times_of_a_request_are_told_by_the_setting_under_which_it_was_accepted() {
    for step_ms in [HOUR, -HOUR] {
        let mut world = World::new(Config::default()).with_worker("w", 1, 0);
        world.offer(&Spec::new("a", "t"));
        world.offer(&Spec {
            model: "absent".to_owned(),
            fallback: Some("spare".to_owned()),
            ..Spec::new("b", "t")
        });
        set(&mut world, step_ms);
        world.live(1_000);
        world.dispatch();
        let work = &world.dispatched[0];
        let told = [work.lease.granted_at, work.queueing.dispatched_at];
        assert_eq!(told, [TimestampMs(1_000); 2], "{step_ms}");
        world.live(10_000);
        let handover = &world.handed_over[0].ready.planning.handovers[0];
        let at = handover.handed_over_at.0;
        assert!((5_000..=11_000).contains(&at), "{step_ms}: {at}");
    }
}

/// Found by an attacker: a step of 3 s forward took about half of all leases back, their workers alive, as the loop read the clock
/// again after it had looked for steps.
#[tokio::test]
async fn a_scheduler_whose_wall_clock_is_set_again_and_again_revokes_nothing_and_goes_on_leading() {
    let stand = Stand::new();
    let (clock, hands) = Clock::manual(TimestampMs(1_800_000_000_000));
    let runtime = Runtime {
        clock: clock.clone(),
        ..Runtime::new(stand.bus.clone())
    };
    let ticking = tokio::spawn({
        let hands = hands.clone();
        async move {
            loop {
                hands.advance(Duration::from_millis(5));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let _scheduler = stand.scheduler_in(runtime, "s1", Config::default());
    let deadline = clock.now().0 + HOUR;
    let spec = |id: &str| Spec {
        deadline,
        ..Spec::new(id, "t")
    };
    let mut worker = Played::new(8);
    let mut reader = stand.reader(&topics::work_short("default")).await;
    stand.offer(["a", "b", "c"].map(spec)).await;
    worker.work(&stand, &mut *reader, 3).await;
    ticking.abort();
    // Time passes only here, so that a machine under load takes none from the worker.
    for step in [3_000, -3_000, 3_000, 3_000, -HOUR, HOUR, -6_000, 60_000].repeat(20) {
        hands.step_to(clock.now().plus_ms(step));
        for _ in 0..4 {
            worker.tell(&stand).await;
            hands.advance(Duration::from_millis(20));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    worker.ends = true;
    let finishing = async {
        while !worker.held.is_empty() {
            worker.work(&stand, &mut *reader, 3).await;
        }
        stand.offer([spec("d")]).await;
        worker.work(&stand, &mut *reader, 4).await;
    };
    // No faster than the machine's: the worker is silent while the disk takes its outcomes.
    let ticking = async {
        loop {
            hands.advance(Duration::from_millis(5));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = finishing => {}
        () = ticking => {}
        () = tokio::time::sleep(PATIENCE) => panic!("the scheduler goes on"),
    }
    assert!(
        worker.attempts.iter().all(|(_, attempt)| *attempt == 1),
        "{:?}",
        worker.attempts
    );
    assert_eq!(worker.attempts.len(), 4);
    let outcomes = stand
        .read::<Outcome>(topics::OUTCOMES, |outcomes| outcomes.len() >= 4)
        .await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.status == OutcomeStatus::Completed)
    );
}
