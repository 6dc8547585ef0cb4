//! A log that is away: work that nobody could read is no work that was lost.

use relay_scheduler::core::Core;
use relay_scheduler::{Config, Leases};
use relay_schemas::{OutcomeStatus, Service};

use crate::records::{Spec, worker};
use crate::world::{World, run};

fn world() -> World {
    let config = Config {
        leases: Leases {
            max_attempts: 2,
            ..Leases::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config).with_worker("w", 1, 0);
    beside(&mut world);
    world.offer(&Spec::new("a", "t"));
    world
}

/// A worker of another model that owns the partition of `w` now and then, and so passes over what lies there.
fn beside(world: &mut World) {
    let mut beside = worker("beside", 1, 1, 0);
    beside.models = vec!["n".to_owned()];
    world.add(beside);
}

/// A Kafka pause of 7 s ended 4 to 13 of 70 requests as `worker_lost`: each lease that its worker could not read was an attempt.
#[test]
fn attempts_that_a_living_worker_never_showed_use_up_none() {
    let mut world = world();
    for _ in 0..6 {
        world.dispatch();
        world.never_read("w");
        world.live(2_200);
    }
    assert_eq!((world.dispatched.len(), world.core.counts().revoked), (6, 6));
    assert!(world.outcome("a").is_none());
    for _ in 0..2 {
        world.dispatch();
        world.lose_work("w");
        world.live(2_200);
    }
    let outcome = world.outcome("a").unwrap();
    assert_eq!(
        outcome.status,
        OutcomeStatus::Failed,
        "what was shown and lost counts"
    );
    assert_eq!(world.dispatched.len(), 8);
}

/// By reading: after a takeover each of them counted, and the next lost worker ended the request.
#[test]
fn attempts_that_use_up_none_use_up_none_after_a_takeover_either() {
    for leased in [false, true] {
        let mut world = world();
        for _ in 0..3 {
            world.dispatch();
            world.never_read("w");
            world.live(2_200);
        }
        if leased {
            world.dispatch();
        }
        let mut core = Core::new(world.config.clone(), "default", run(Service::Scheduler, "s2", 0));
        core.restore(&world.core.snapshot());
        core.offer(Spec::new("a", "t").offer(0, 0), world.now());
        core.lead(9, world.now());
        core.seam_works(world.now());
        world.core = core;
        world.tell("w");
        for ended in [false, true] {
            world.dispatch();
            world.lose_work("w");
            world.live(2_200);
            assert_eq!(world.outcome("a").is_some(), ended, "{leased}");
        }
        assert_eq!(world.dispatched.len(), 5, "{leased}");
    }
}

/// A request that kills each worker that reads it must not go on doing so.
#[test]
fn attempts_of_workers_that_died_before_they_showed_it_count() {
    let mut world = world().with_worker("v", 1, 0);
    for name in ["v", "w"] {
        world.dispatch();
        world.never_read(name);
        world.workers.get_mut(&name.into()).unwrap().alive = false;
        world.live(2_500);
    }
    assert_eq!(world.outcome("a").unwrap().code.as_deref(), Some("worker_lost"));
}

#[test]
fn while_the_log_is_away_and_as_long_again_nothing_follows_from_work_that_nobody_read() {
    let mut world = world();
    world.dispatch();
    world.never_read("w");
    for _ in 0..70 {
        world.live(100);
        let now = world.now();
        world.core.log_is_away(now);
    }
    world.live(1_900);
    assert_eq!(world.core.counts().revoked, 0);
    world.live(200);
    assert_eq!(world.core.counts().revoked, 1, "its worker does not read it");
}

#[test]
fn a_run_that_was_shown_is_lost_whether_the_log_is_away_or_not() {
    let mut world = world();
    world.dispatch();
    world.lose_work("w");
    for _ in 0..21 {
        world.live(100);
        let now = world.now();
        world.core.log_is_away(now);
    }
    assert_eq!(world.core.counts().revoked, 1);
}

#[test]
fn a_doubt_from_before_the_log_went_away_is_dropped_where_only_the_log_could_settle_it() {
    let mut world = world();
    world.settle_at_once = false;
    world.dispatch();
    world.never_read("w");
    world.live(2_100);
    let doubts = world.doubts.remove(0);
    let now = world.now();
    world.core.log_is_away(now);
    world.live(100);
    let now = world.now();
    world.core.settled(&doubts, now);
    assert_eq!(world.core.counts().revoked, 0);
    world.live(1_900);
    assert_eq!(world.doubts.len(), 1, "it is doubted again, in its time");
}

/// By reading: the end that was asked for lay before an outcome that came between the two doubts.
#[test]
fn what_was_asked_about_one_doubt_settles_no_later_one() {
    let mut world = world();
    world.settle_at_once = false;
    world.dispatch();
    let shown = world.workers[&"w".into()].status.in_flight.clone();
    world.lose_work("w");
    world.live(2_100);
    world.workers.get_mut(&"w".into()).unwrap().status.in_flight = shown;
    world.tell("w");
    world.never_read("w");
    world.live(2_100);
    let now = world.now();
    let [first, second] = [0, 1].map(|at| world.doubts[at].clone());
    world.core.settled(&first, now);
    assert_eq!(world.core.counts().revoked, 0);
    world.core.settled(&second, now);
    assert_eq!(world.core.counts().revoked, 1);
}
