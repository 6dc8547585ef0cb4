//! What a lease says, and who is believed about a run.

use std::sync::Arc;

use relay_scheduler::{Config, Leases, Limits};
use relay_schemas::{InFlight, OutcomeStatus, Service, TokenCount};
use relay_settings::ByteSize;

use crate::records::Spec;
use crate::world::{World, run};

#[test]
fn a_request_that_runs_again_has_waited_for_both_its_runs_and_is_counted_as_retried() {
    let mut world = World::new(Config::default());
    world.offer(&Spec::new("a", "t"));
    world.pass(300);
    let mut world = world.with_worker("w", 1, 0);
    world.dispatch();
    assert_eq!(world.core.counts().retried, 0, "the first attempt is none");
    let first = world.dispatched[0].queueing.queue_wait_ms;
    world.lose_work("w");
    world.live(2_200);
    world.pass(50);
    world.tell("w");
    world.dispatch();
    let waits: Vec<i64> = world
        .dispatched
        .iter()
        .map(|it| it.queueing.queue_wait_ms)
        .collect();
    assert_eq!((first, waits.len()), (300, 2));
    assert!((350..=300 + 2_250).contains(&waits[1]), "{waits:?}");
    assert_eq!(world.core.counts().retried, 1);
    world.lose_work("w");
    world.live(2_200);
    world.dispatch();
    assert_eq!(world.core.counts().retried, 2);
}

/// `broken` has failed the model once; a second worker takes it, so it rests, and is then tried with one run, `probe`.
fn probing() -> World {
    let mut world = World::new(Config::default())
        .with_worker("broken", 4, 0)
        .with_worker("sound", 1, 0);
    world.live(1_000);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.refuse("broken", "a");
    world.live(1_100);
    world.offer(&Spec::new("b", "t"));
    for n in 0..5 {
        world.offer(&Spec::new(format!("c{n}"), "t"));
    }
    world.dispatch();
    assert_eq!(held(&world), 1, "one run shows whether it does better");
    world
}

fn held(world: &World) -> usize {
    world.workers[&"broken".into()].works.len()
}

fn probe(world: &World) -> relay_schemas::RequestId {
    world.workers[&"broken".into()].works[0]
        .request
        .request_id
        .clone()
}

#[test]
fn a_run_that_completes_shows_that_its_worker_does_better_though_it_told_no_token_before() {
    let mut world = probing();
    let id = probe(&world);
    world.complete("broken", &id, 3);
    world.fold();
    world.dispatch();
    assert_eq!(held(&world), 4);
}

#[test]
fn a_run_that_fails_or_that_somebody_else_ended_shows_nothing_of_its_worker() {
    for failed in [true, false] {
        let mut world = probing();
        let id = probe(&world);
        if failed {
            world.fail("broken", &id);
        } else {
            world.complete("broken", &id, 3);
            world.outcomes.last_mut().unwrap().run = run(Service::Workers, "zombie", 1);
        }
        world.fold();
        world.dispatch();
        assert_eq!(held(&world), 1, "failed {failed}");
    }
}

#[test]
fn a_status_that_shows_no_further_token_shows_nothing_of_its_worker_either() {
    let mut world = probing();
    world.tell("broken");
    world.dispatch();
    assert_eq!(held(&world), 1);
    let id = probe(&world);
    world.produce("broken", &id, 1);
    world.tell("broken");
    world.dispatch();
    assert_eq!(held(&world), 4);
}

#[test]
fn the_end_of_a_run_that_is_no_lease_of_ours_frees_its_slot_at_once() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("b", "t"));
    world.dispatch();
    let mut foreign = world.dispatched[0].clone();
    Arc::make_mut(&mut foreign.request).request_id = "foreign".into();
    let worker = world.workers.get_mut(&"w".into()).unwrap();
    worker.status.in_flight.push(InFlight {
        request_id: "foreign".into(),
        attempt: 1,
        scheduler_epoch: 3,
        tokens: TokenCount(0),
    });
    worker.works.push(foreign);
    world.complete("w", &"b".into(), 1);
    world.fold();
    world
        .workers
        .get_mut(&"w".into())
        .unwrap()
        .status
        .in_flight
        .truncate(1);
    world.tell("w");
    world.offer(&Spec::new("c", "t"));
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["b"]);
    world.complete("w", &"foreign".into(), 1);
    world.fold();
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["b", "c"]);
}

#[test]
fn a_refusal_says_whether_there_are_too_many_requests_or_too_large_ones() {
    let limits = |per_tenant, bytes| Limits {
        max_waiting_per_tenant: per_tenant,
        max_bodies_per_tenant: ByteSize::b(bytes),
        ..Limits::default()
    };
    let cases = [
        (limits(2, 300), "too many requests of this tenant wait"),
        (
            limits(9, 200),
            "the requests of this tenant that wait and run are too large together",
        ),
    ];
    for (limits, message) in cases {
        let mut world = World::new(Config {
            limits,
            ..Config::default()
        });
        for id in ["a", "b"] {
            world.offer(&Spec::new(id, "t"));
        }
        assert!(
            world.outcomes.is_empty(),
            "{message}: as much as the limit is no more than it"
        );
        world.offer(&Spec::new("c", "t"));
        let outcome = world.outcome("c").unwrap();
        assert_eq!(
            (
                outcome.status,
                outcome.code.as_deref(),
                outcome.message.as_deref()
            ),
            (OutcomeStatus::Rejected, Some("tenant_queue_full"), Some(message))
        );
    }
}

#[test]
fn a_busy_worker_is_waited_for_even_where_there_is_no_grace_for_one_that_is_away() {
    let leases = Leases {
        hand_over_after: std::time::Duration::ZERO,
        unserved_grace: std::time::Duration::ZERO,
        ..Leases::default()
    };
    let mut world = World::new(Config {
        leases,
        ..Config::default()
    })
    .with_worker("w", 1, 0);
    for id in ["runs", "waits"] {
        world.offer(&Spec::new(id, "t"));
    }
    world.dispatch();
    world.tell("w");
    world.now += 100;
    world.tell("w");
    world.pass(0);
    assert!(world.outcomes.is_empty());
}

#[test]
fn no_more_than_five_hundred_requests_leave_at_one_look_for_workers_that_are_away() {
    let mut world = World::new(Config::default());
    for n in 0..600 {
        world.offer(&Spec::new(format!("r{n}"), "t"));
    }
    world.pass(10_000);
    assert_eq!(world.outcomes.len(), 512);
    world.pass(100);
    assert_eq!(world.outcomes.len(), 600);
}
