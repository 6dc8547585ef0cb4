//! Work that a living worker has not read, and that nobody else takes, stays with it.

use relay_scheduler::Config;
use relay_schemas::OutcomeStatus;

use crate::records::{Spec, worker};
use crate::world::World;

/// `w` alone runs `m`, and has not read what it was given: the requests of `specs`.
fn unread(specs: &[Spec]) -> World {
    let mut world = World::new(Config::default()).with_worker("w", 64, 0);
    for spec in specs {
        world.offer(spec);
    }
    world.dispatch();
    world.never_read("w");
    world
}

fn ordinary() -> Spec {
    Spec::new("a", "t")
}

fn live(world: &mut World, seconds: i64) {
    for _ in 0..10 * seconds {
        world.live(100);
        world.dispatch();
        world.never_read("w");
    }
}

/// By reading: each was leased to it again every two seconds, nineteen times, and it ran all copies once it read on.
#[test]
fn a_worker_that_nobody_stands_in_for_and_that_reads_forty_seconds_late_runs_each_request_once() {
    let specs: Vec<Spec> = (0..64).map(|n| Spec::new(format!("r{n}"), "t")).collect();
    let mut world = unread(&specs);
    live(&mut world, 40);
    assert_eq!((world.dispatched.len(), world.core.counts().revoked), (64, 0));
    world.reads_on("w");
    for spec in &specs {
        world.complete("w", &spec.id.as_str().into(), 5);
    }
    world.fold();
    live(&mut world, 5);
    assert_eq!(world.dispatched.len(), 64);
    let completed = |outcome: &relay_schemas::Outcome| outcome.status == OutcomeStatus::Completed;
    assert_eq!(world.outcomes.len(), 64);
    assert!(world.outcomes.iter().all(completed));
}

#[test]
fn what_was_not_read_goes_to_another_worker_of_its_model_once_there_is_one() {
    let mut world = unread(&[ordinary()]);
    live(&mut world, 10);
    let mut other = worker("v", 1, 64, 0);
    other.short_partitions = vec![1];
    world.add(other);
    live(&mut world, 1);
    let workers: Vec<&str> = world
        .dispatched
        .iter()
        .map(|work| work.lease.worker.as_str())
        .collect();
    assert_eq!(workers, ["w", "v"]);
}

#[test]
fn what_lies_in_a_partition_that_another_worker_has_owned_since_is_leased_again() {
    let mut world = unread(&[ordinary()]);
    live(&mut world, 10);
    let mut other = worker("v", 1, 64, 0);
    other.models = vec!["n".to_owned()];
    world.add(other);
    live(&mut world, 1);
    assert_eq!(world.dispatched.len(), 2);
    assert_eq!(world.dispatched[1].lease.worker.as_str(), "w");
}

#[test]
fn what_was_not_read_ends_with_its_deadline_its_cancel_or_its_worker() {
    type Change = fn(&mut World);
    let cases: [(Change, OutcomeStatus, &str); 3] = [
        (
            |world| live(world, 10),
            OutcomeStatus::Expired,
            "deadline_exceeded",
        ),
        (
            |world| world.cancel("a", "t"),
            OutcomeStatus::Cancelled,
            "cancelled",
        ),
        (
            |world| {
                world.workers.get_mut(&"w".into()).unwrap().alive = false;
                live(world, 20);
            },
            OutcomeStatus::Expired,
            "deadline_exceeded",
        ),
    ];
    for (change, status, code) in cases {
        let mut world = unread(&[Spec {
            deadline: 20_000,
            ..ordinary()
        }]);
        live(&mut world, 11);
        assert!(world.outcomes.is_empty(), "{code}");
        change(&mut world);
        live(&mut world, 1);
        let ended = world.outcome("a").unwrap();
        assert_eq!((ended.status, ended.code.as_deref()), (status, Some(code)));
        assert_eq!(world.dispatched.len(), 1, "{code}");
    }
}

#[test]
fn what_another_pool_may_run_waits_as_long_as_for_a_worker_and_goes_there() {
    let mut world = unread(&[Spec {
        fallback: Some("spare".to_owned()),
        ..ordinary()
    }]);
    live(&mut world, 4);
    assert!(world.handed_over.is_empty());
    live(&mut world, 2);
    assert_eq!((world.handed_over.len(), world.dispatched.len()), (1, 1));
}

#[test]
fn a_worker_is_told_of_leases_that_are_over_so_that_it_runs_none_of_them_when_it_reads_late() {
    let mut world = unread(&[ordinary()]);
    let mut other = worker("v", 1, 64, 0);
    other.short_partitions = vec![1];
    world.add(other);
    live(&mut world, 3);
    assert_eq!(world.dispatched.len(), 2);
    assert_eq!(world.revoked, [("w".into(), 1)]);
}

/// An id is taken anew after an end that was not charged: its first attempt bears the number of one that its worker has run.
#[test]
fn what_its_worker_has_read_and_does_not_run_is_leased_again_at_once_and_makes_no_worker_rest() {
    let mut world = unread(&[ordinary()]);
    world.pass_over("w", "a");
    world.dispatch();
    assert_eq!(world.dispatched.len(), 2);
    assert_eq!(world.dispatched[1].lease.attempt, 2);
    world.complete("w", &"a".into(), 5);
    world.fold();
    assert_eq!(world.outcome("a").unwrap().status, OutcomeStatus::Completed);
}
