//! When time passes for the core, and what it does then.

use relay_clock::Timeline;
use relay_scheduler::Config;
use relay_scheduler::core::{Core, Effect};
use relay_schemas::{Service, TimestampMs};

use crate::records::{Spec, worker};
use crate::world::{World, run};

/// How often leases are looked over, and the default of `pool_status_every`.
const LOOK_OVER: i64 = 100;

fn ms(world: &World) -> Option<i64> {
    world.core.next_wakeup().map(|at| at.0)
}

fn status_every() -> i64 {
    relay_clock::millis(Config::default().pool_status_every)
}

#[test]
fn who_does_not_lead_is_never_woken_and_tells_no_status() {
    let mut core = Core::new(Config::default(), "default", run(Service::Scheduler, "s2", 0));
    core.offer(Spec::new("a", "t").offer(0, 0), TimestampMs(0));
    assert_eq!(core.next_wakeup(), None);
    core.tick(TimestampMs(1_000_000));
    assert!(core.effects().is_empty());
    assert_eq!(core.pool_status(TimestampMs(0)).epoch, -1, "it has no epoch");
}

#[test]
fn an_idle_leader_is_woken_to_tell_its_status_only_and_one_with_requests_to_look_them_over() {
    let mut world = World::new(Config::default());
    assert_eq!(ms(&world), Some(status_every()));
    world.offer(&Spec::new("a", "t"));
    assert_eq!(ms(&world), Some(LOOK_OVER), "one waits");
    let mut world = world.with_worker("w", 1, 0);
    world.dispatch();
    assert_eq!(ms(&world), Some(LOOK_OVER), "one runs");
    world.offer(&Spec {
        deadline: 40,
        ..Spec::new("b", "t")
    });
    assert_eq!(ms(&world), Some(40), "one has a deadline");
    world.complete("w", &"a".into(), 1);
    world.pass(40);
    world.fold();
    assert_eq!(ms(&world), Some(status_every()), "all have ended");
}

#[test]
fn a_request_that_another_pool_could_not_take_yet_is_looked_over_as_well() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec {
        fallback: Some("spare".to_owned()),
        ..Spec::new("a", "t")
    });
    world.dispatch();
    world.hand_over_at_once = false;
    world.give_back("w", "a", "backend_error");
    assert_eq!(
        ms(&world),
        Some(status_every()),
        "the other pool's log has it in hand"
    );
    let (handover, now) = (world.handed_over[0].clone(), world.now());
    world.core.cannot_hand_over_yet(handover, now);
    assert_eq!(ms(&world), Some(LOOK_OVER));
}

#[test]
fn the_pools_status_is_told_every_so_often() {
    let mut world = World::new(Config::default());
    let told = |world: &mut World, at: i64| {
        world.core.tick(TimestampMs(at));
        let effects = world.core.effects();
        effects
            .iter()
            .filter(|it| matches!(it, Effect::PoolStatus(_)))
            .count()
    };
    let every = status_every();
    let counts = [every - 1, every, every + 1, 2 * every - 1, 2 * every].map(|at| told(&mut world, at));
    assert_eq!(counts, [0, 1, 0, 0, 1]);
}

#[test]
fn leases_are_looked_over_no_more_often_than_they_need_to_be() {
    let mut world = World::new(Config::default());
    let absent = |id: &str| Spec {
        model: "absent".to_owned(),
        ..Spec::new(id, "t")
    };
    world.offer(&absent("a"));
    world.pass(9_950);
    world.pass(99);
    assert!(world.outcomes.is_empty(), "a look was 99 ms ago");
    world.pass(1);
    assert_eq!(world.outcomes.len(), 1);
}

#[test]
fn a_worker_that_was_silent_for_ten_times_as_long_as_a_lease_may_be_is_forgotten() {
    let mut world = World::new(Config::default()).with_worker("w", 3, 0);
    world.offer(&Spec {
        model: "absent".to_owned(),
        prompt: 1,
        output: 1,
        ..Spec::new("a", "t")
    });
    let with_slots = world.core.fairness().1;
    let bound = |world: &mut World, at: i64| {
        world.core.tick(TimestampMs(at));
        world.core.fairness().1
    };
    assert_eq!(bound(&mut world, 9_000), with_slots);
    world.core.seam_fails();
    assert_eq!(bound(&mut world, 20_000), with_slots);
    assert!(bound(&mut world, 20_100) < with_slots);
}

#[test]
fn it_says_whether_the_wall_clock_was_set_since_it_was_told_last() {
    let mut core = Core::new(Config::default(), "default", run(Service::Scheduler, "s2", 0));
    let [at, later] = [TimestampMs(0), TimestampMs(10_000)];
    let mut timeline = Timeline::begin(at, at);
    assert!(!core.follow_clock(timeline.clone()));
    timeline.look(later.plus_ms(3_600_000), later);
    assert!(core.follow_clock(timeline.clone()));
    assert!(!core.follow_clock(timeline));
    assert_eq!(core.pool_status(later).sent_at, later.plus_ms(3_600_000));
}

#[test]
fn what_a_worker_of_another_pool_tells_is_none_of_this_ones_affair() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    let mut other = worker("w", 1, 1, 0);
    (other.seq, other.draining) = (9, true);
    "other".clone_into(&mut other.pool);
    let now = world.now();
    world.core.status(&other, now);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a"]);
}

#[test]
fn a_lease_counts_as_lost_from_when_its_record_was_acknowledged() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    let now = world.now();
    world.core.dispatch(now);
    let _ = world.core.effects();
    world.workers.get_mut(&"w".into()).unwrap().alive = false;
    world.pass(1_000);
    let attempt = relay_scheduler::core::Attempt {
        request_id: "a".into(),
        attempt: 1,
    };
    let now = world.now();
    world.core.dispatched(&attempt, now);
    world.pass(1_900);
    assert_eq!(world.core.counts().revoked, 0);
    world.pass(100);
    assert_eq!(world.core.counts().revoked, 1);
}
