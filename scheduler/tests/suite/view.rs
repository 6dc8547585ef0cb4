//! What can be seen of the core from outside.

use relay_scheduler::{Config, Limits};
use relay_schemas::Class;
use relay_settings::ByteSize;

use crate::records::Spec;
use crate::world::World;

/// Two tenants wait in every flow, one of them was served before.
fn world() -> World {
    let config = Config {
        limits: Limits {
            max_bodies: ByteSize::b(600),
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config).with_worker("w", 2, 1);
    world.offer(&Spec::new("first", "a"));
    world.dispatch();
    world.offer(&Spec::new("second", "a"));
    world.dispatch();
    let mut long = Spec::new("long", "b");
    (long.long, long.prompt, long.output) = (true, 30, 50);
    let mut batch = Spec::new("batch", "a");
    batch.class = Class::Batch;
    for spec in [&Spec::new("short", "a"), &long, &batch] {
        world.offer(spec);
    }
    world
}

#[test]
fn what_waits_and_runs_is_counted_by_flow() {
    let world = world();
    let counts = world.core.counts();
    let waiting = (counts.waiting_short, counts.waiting_long, counts.waiting_batch);
    assert_eq!((waiting, counts.running), ((1, 1, 1), 2));
    assert_eq!(world.core.tenants_waiting(), 2);
    let status = world.core.pool_status(world.now());
    let told = (status.waiting_interactive, status.waiting_batch, status.running);
    assert_eq!((told, status.epoch), ((2, 1, 2), 7));
    let shares: Vec<_> = status
        .batch_tenants
        .iter()
        .map(|share| (share.tenant.as_str(), share.waiting, share.bytes))
        .collect();
    assert_eq!((shares, status.batch_bytes), (vec![("a", 1, 100)], 100));
    assert_eq!(
        (status.pool.as_str(), status.scheduler.as_str()),
        ("default", "s1")
    );
}

#[test]
fn memory_is_full_from_its_bound_on_until_a_request_ends() {
    let mut world = world();
    assert_eq!(world.core.counts().body_bytes, 500);
    assert!(!world.core.is_full());
    world.offer(&Spec::new("sixth", "b"));
    assert!(world.core.is_full());
    world.complete("w", &"first".into(), 3);
    world.fold();
    assert!(!world.core.is_full());
}

#[test]
fn the_gap_is_the_greatest_counter_less_the_least_and_the_bound_is_that_of_the_paper() {
    let mut world = world();
    // `a` is charged two prompts of 10 tokens; they are estimates, and `b` was not lifted to that.
    let bound = 2 * (2 * (3 * (30 + 50)));
    assert_eq!(world.core.fairness(), (20, bound));
    world.produce("w", &"first".into(), 4);
    world.tell("w");
    assert_eq!(world.core.fairness(), (28, bound));
    let counters = [("a".to_owned(), 28_000), ("b".to_owned(), 0)];
    assert_eq!(world.core.counters(), counters);
}

#[test]
fn a_pool_without_workers_is_bound_by_the_longest_prompt() {
    let mut world = World::new(Config::default());
    world.offer(&Spec::new("a", "t"));
    assert_eq!(world.core.fairness(), (0, 20));
}

#[test]
fn a_request_is_open_until_its_end_is_decided() {
    let mut world = world();
    assert!(world.core.is_open(&"first".into()));
    assert!(world.core.is_open(&"short".into()));
    assert!(!world.core.is_open(&"unknown".into()));
    world.cancel("short", "a");
    assert!(!world.core.is_open(&"short".into()));
    assert!(world.core.lease_of(&"short".into()).is_none());
    assert_eq!(
        world.core.lease_of(&"first".into()).map(|lease| lease.attempt),
        Some(1)
    );
}
