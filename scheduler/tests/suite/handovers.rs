//! Fallback to another pool, as docs/policy.md promises it.

use std::time::Duration;

use relay_scheduler::core::Core;
use relay_scheduler::{Config, Leases, Limits, Remembered};
use relay_schemas::{FenceAnswer, HandOver, OutcomeStatus, Service};

use crate::records::Spec;
use crate::world::{World, run};

fn world() -> World {
    World::new(Config {
        leases: Leases {
            hand_over_after: Duration::from_secs(5),
            max_attempts: 2,
            ..Leases::default()
        },
        ..Config::default()
    })
}

/// A request whose plan names pool `spare` behind this one.
fn spec(id: &str) -> Spec {
    Spec {
        fallback: Some("spare".to_owned()),
        ..Spec::new(id, "t")
    }
}

/// One worker, `w`, runs `spec`.
fn running(spec: &Spec) -> World {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(spec);
    world.dispatch();
    world
}

/// One worker has run `spec` and given it back; the other pool's log has not taken it yet.
fn leaving(spec: &Spec) -> World {
    let mut world = running(spec);
    world.hand_over_at_once = false;
    let id = spec.id.clone();
    world.give_back("w", &id, "backend_error");
    world
}

/// The only hand-over: to which pool, and its line of the decision trace.
fn only(world: &World) -> (&str, &HandOver) {
    assert_eq!(world.handed_over.len(), 1);
    let handover = &world.handed_over[0];
    let trace = &handover.ready.planning.handovers;
    (&handover.pool, trace.last().unwrap())
}

/// Its worker is lost before it has shown a token.
fn lose(world: &mut World, worker: &str) {
    world.lose_work(worker);
    world.live(2_200);
}

#[test]
fn a_run_that_failed_before_its_first_token_goes_on_in_the_pool_of_the_next_candidate() {
    let mut world = running(&spec("a"));
    world.give_back("w", "a", "backend_unavailable");
    let (pool, why) = only(&world);
    assert_eq!(pool, "spare");
    assert_eq!(
        (why.from_pool.as_str(), why.to_pool.as_str()),
        ("default", "spare")
    );
    assert_eq!((why.code.as_str(), why.attempts), ("backend_unavailable", 1));
    assert_eq!(why.message, "connection refused");
    assert!(world.outcomes.is_empty(), "it has not ended");
    let counts = world.core.counts();
    assert_eq!(
        (counts.running, counts.waiting_short, counts.body_bytes),
        (0, 0, 0)
    );
    assert_eq!(counts.handed_over, 1);
    assert_eq!(
        world.core.tenant_tokens(&"t".into()),
        (0, 0),
        "it is charged nothing"
    );
    world.tell("w");
    assert_eq!(
        world.handed_over.len(),
        1,
        "the same status told again changes nothing"
    );
}

#[test]
fn a_run_given_back_by_a_worker_that_knows_of_no_other_pool_fails_with_its_reason() {
    let mut world = running(&Spec::new("a", "t"));
    world.give_back("w", "a", "backend_error");
    let outcome = world.outcome("a").unwrap();
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Failed, Some("backend_error"))
    );
    assert_eq!(outcome.message.as_deref(), Some("connection refused"));
}

#[test]
fn workers_lost_in_every_attempt_hand_over_and_in_some_of_them_do_not() {
    let mut world = running(&spec("a"));
    lose(&mut world, "w");
    assert!(world.handed_over.is_empty(), "one attempt is left");
    world.dispatch();
    lose(&mut world, "w");
    let (_, why) = only(&world);
    assert_eq!((why.code.as_str(), why.attempts), ("worker_lost", 2));
}

#[test]
fn what_a_client_may_have_seen_a_token_of_is_not_handed_over() {
    let mut world = world().with_worker("w", 1, 0);
    world.fence = Some(FenceAnswer {
        known: true,
        saw_token: true,
    });
    let mut streamed = spec("a");
    streamed.stream = true;
    world.offer(&streamed);
    world.dispatch();
    lose(&mut world, "w");
    assert!(world.handed_over.is_empty());
    assert_eq!(world.outcome("a").unwrap().code.as_deref(), Some("worker_lost"));
}

#[test]
fn without_a_worker_for_the_model_a_request_is_handed_over_after_the_grace_and_without_a_fallback_it_waits() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec {
        model: "unknown".to_owned(),
        ..spec("a")
    });
    world.offer(&Spec {
        model: "unknown".to_owned(),
        ..Spec::new("stays", "t")
    });
    world.live(4_900);
    assert!(world.handed_over.is_empty(), "not before the grace is over");
    world.live(200);
    let (_, why) = only(&world);
    assert_eq!((why.code.as_str(), why.attempts), ("no_worker", 0));
    assert_eq!(world.core.counts().waiting_short, 1);
    assert!(world.outcomes.is_empty());
}

#[test]
fn a_busy_worker_is_waited_for_and_one_that_went_away_counts_from_its_last_status() {
    let mut world = world().with_worker("w", 1, 0);
    for id in ["a", "b"] {
        world.offer(&spec(id));
    }
    world.dispatch();
    world.live(9_000);
    assert!(world.handed_over.is_empty(), "it is only busy");
    world.complete("w", &"a".into(), 3);
    world.fold();
    world.workers.get_mut(&"w".into()).unwrap().alive = false;
    // Its last status is 100 ms old.
    world.pass(4_800);
    assert!(world.handed_over.is_empty());
    world.pass(200);
    assert_eq!(only(&world).1.code, "no_worker");
}

#[test]
fn silence_over_a_seam_that_does_not_work_hands_nothing_over_and_the_grace_begins_when_it_works() {
    let mut world = world().with_worker("w", 0, 0);
    world.workers.get_mut(&"w".into()).unwrap().alive = false;
    world.offer(&spec("a"));
    world.core.seam_fails();
    world.live(10_000);
    let now = world.now();
    world.core.seam_works(now);
    world.live(4_900);
    assert!(world.handed_over.is_empty());
    let now = world.now();
    world.core.seam_works(now);
    world.live(200);
    assert_eq!(only(&world).1.code, "no_worker");
}

#[test]
fn a_request_that_has_just_come_waits_its_own_grace() {
    let mut world = world();
    world.live(20_000);
    world.offer(&spec("a"));
    world.live(4_900);
    assert!(world.handed_over.is_empty());
    world.live(200);
    assert_eq!(only(&world).1.code, "no_worker");
}

#[test]
fn a_worker_that_drains_serves_nothing_new() {
    let mut world = world().with_worker("w", 1, 0);
    world.workers.get_mut(&"w".into()).unwrap().status.draining = true;
    world.offer(&spec("a"));
    world.live(5_200);
    assert_eq!(only(&world).1.code, "no_worker");
}

#[test]
fn a_full_queue_refuses_load_is_no_reason_for_another_pool() {
    let mut world = World::new(Config {
        limits: Limits {
            max_waiting: 0,
            ..Limits::default()
        },
        ..Config::default()
    });
    world.offer(&spec("a"));
    assert!(world.handed_over.is_empty());
    assert_eq!(world.outcome("a").unwrap().status, OutcomeStatus::Rejected);
}

#[test]
fn a_cancelled_or_late_request_ends_where_it_is() {
    for (case, deadline, status) in [
        ("cancelled", 1_000_000, OutcomeStatus::Cancelled),
        ("late", 50, OutcomeStatus::Expired),
    ] {
        let mut world = running(&Spec {
            deadline,
            ..spec("a")
        });
        if status == OutcomeStatus::Cancelled {
            world.cancel("a", "t");
        }
        world.now += 60;
        world.give_back("w", "a", "backend_error");
        assert_eq!(world.outcome("a").unwrap().status, status, "{case}");
        assert!(world.handed_over.is_empty(), "{case}");
    }
}

#[test]
fn the_other_pool_goes_on_counting_attempts_and_keeps_the_reason() {
    let mut first = running(&spec("a"));
    first.give_back("w", "a", "backend_unavailable");
    let mut offer = spec("a").offer(0, 0);
    offer.ready = first.handed_over[0].ready.clone();
    let mut core = Core::new(first.config.clone(), "spare", run(Service::Scheduler, "s2", 0));
    core.lead(3, first.now());
    core.offer(offer.clone(), first.now());
    let mut status = crate::records::worker("v", 1, 1, 0);
    status.pool = "spare".to_owned();
    core.status(&status, first.now());
    core.dispatch(first.now());
    assert_eq!(core.lease_of(&"a".into()).map(|lease| lease.attempt), Some(2));
    // Handed over once more, by a successor that did not know.
    offer.at.offset = 1;
    core.offer(offer, first.now());
    let counts = core.counts();
    assert_eq!(
        (counts.duplicates, counts.running, counts.waiting_short),
        (1, 1, 0)
    );
}

#[test]
fn what_is_handed_over_is_held_until_the_other_pool_has_it_and_then_never_started_here() {
    let mut world = leaving(&spec("a"));
    let work = world.dispatched[0].clone();
    let before = world.core.snapshot();
    assert_eq!(before.requeued.len(), 1, "a successor takes it up again");
    assert!(!world.core.is_open(&"a".into()));

    world.core.handed_over(&"a".into());
    let after = world.core.snapshot();
    assert!(after.requeued.is_empty() && after.leases.is_empty() && after.waiting.is_empty());
    let now = world.now();
    world.core.offer(spec("a").offer(1, 0), now);
    let at = relay_scheduler::core::At {
        partition: 0,
        offset: 7,
    };
    world
        .core
        .work(work, relay_scheduler::core::Input::WorkShort, at, None, now);
    assert!(world.core.lease_of(&"a".into()).is_none());
    assert!(!world.core.is_open(&"a".into()));
    assert_eq!(world.core.counts().duplicates, 1);
}

#[test]
fn what_another_pools_topic_cannot_hold_stays_and_fails_here() {
    let mut world = leaving(&spec("a"));
    let now = world.now();
    world.core.cannot_hand_over(&"a".into(), now);
    world
        .workers
        .get_mut(&"w".into())
        .unwrap()
        .status
        .returned
        .clear();
    world.dispatch();
    world.give_back("w", "a", "backend_error");
    assert_eq!(world.handed_over.len(), 1);
    assert_eq!(world.outcome("a").unwrap().code.as_deref(), Some("backend_error"));
}

#[test]
fn a_cancel_of_a_request_that_is_being_handed_over_ends_it() {
    let mut world = leaving(&spec("a"));
    world.cancel("a", "t");
    assert_eq!(world.outcome("a").unwrap().status, OutcomeStatus::Cancelled);
    world.core.handed_over(&"a".into());
    assert_eq!(world.core.counts().handed_over, 0, "it has ended");
    world.fold();
    assert!(!world.core.is_open(&"a".into()));
}

#[test]
fn a_pool_whose_topic_is_not_there_is_tried_again_until_the_deadline() {
    let mut world = leaving(&Spec {
        deadline: 3_500,
        ..spec("a")
    });
    for tries in 1..=3 {
        assert_eq!(world.handed_over.len(), tries);
        let (handover, now) = (world.handed_over[0].clone(), world.now());
        world.core.cannot_hand_over_yet(handover, now);
        world.live(1_100);
    }
    assert_eq!(world.handed_over.len(), 4);
    world.live(1_000);
    assert_eq!(world.outcome("a").unwrap().status, OutcomeStatus::Expired);
    assert_eq!(world.handed_over.len(), 4, "what has ended is tried no more");
}

/// By reading: a tenant of which one request was on its way into another pool could be forgotten, and its return was a panic.
#[test]
fn a_tenant_is_remembered_while_its_request_is_on_its_way_into_another_pool() {
    let config = Config {
        remembered: Remembered {
            tenants: 1,
            ..Remembered::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config).with_worker("w", 2, 0);
    world.offer(&spec("a"));
    world.dispatch();
    world.hand_over_at_once = false;
    world.give_back("w", "a", "backend_error");
    world.offer(&Spec::new("b", "other"));
    let now = world.now();
    world.core.cannot_hand_over(&"a".into(), now);
    world.perform();
    assert!(world.core.is_open(&"a".into()), "it waits here again");
}

#[test]
fn an_outcome_that_comes_first_ends_a_hand_over() {
    let mut world = leaving(&spec("a"));
    let work = world.dispatched[0].clone();
    let zombie = relay_lifecycle::end(
        relay_lifecycle::Known::Work(&work),
        run(Service::Workers, "w", 1),
        relay_lifecycle::Ending::of(OutcomeStatus::Completed),
        world.now(),
    );
    world.outcomes.push(zombie);
    world.fold();
    world.core.handed_over(&"a".into());
    let counts = world.core.counts();
    assert_eq!((counts.body_bytes, counts.handed_over), (0, 0));
}

#[test]
fn what_another_pool_does_not_take_before_its_deadline_ends_as_expired() {
    let mut world = leaving(&Spec {
        deadline: 500,
        ..spec("a")
    });
    world.live(400);
    assert!(world.outcome("a").is_none());
    world.live(200);
    assert_eq!(world.outcome("a").unwrap().status, OutcomeStatus::Expired);
    world.fold();
    world.core.handed_over(&"a".into());
    assert_eq!(world.core.counts().handed_over, 0, "it has ended");
}
