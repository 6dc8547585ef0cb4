//! Requests whose models no live worker runs.

use relay_scheduler::Config;
use relay_schemas::{Class, OutcomeStatus};

use crate::records::Spec;
use crate::world::World;

fn absent(id: &str) -> Spec {
    Spec {
        model: "absent".to_owned(),
        ..Spec::new(id, "t")
    }
}

/// A worker runs another model.
fn world() -> World {
    World::new(Config::default()).with_worker("w", 1, 0)
}

#[test]
fn where_no_live_worker_runs_its_model_a_request_ends_after_the_grace_and_names_it() {
    let mut world = world();
    world.offer(&absent("a"));
    world.live(9_900);
    assert!(world.outcome("a").is_none(), "a worker may be starting");
    world.live(200);
    let outcome = world.outcome("a").unwrap();
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Rejected, Some("no_worker"))
    );
    assert_eq!(
        outcome.message.as_deref(),
        Some(
            "no worker of pool `default` has run model `absent` for 10000 ms; ask again later, or for another model"
        )
    );
    assert_eq!(outcome.retry_after_ms, Some(10_000));
}

#[test]
fn a_batch_line_waits_for_a_worker_of_its_model_for_an_hour() {
    let mut world = world();
    world.offer(&Spec {
        class: Class::Batch,
        ..absent("b")
    });
    for _ in 0..35 {
        world.live(100);
        world.pass(99_900);
    }
    world.tell("w");
    assert!(world.outcome("b").is_none());
    world.pass(200_000);
    world.live(100);
    let outcome = world.outcome("b").unwrap();
    assert_eq!(outcome.code.as_deref(), Some("no_worker"));
}

#[test]
fn a_request_of_a_worker_that_is_busy_or_comes_in_time_does_not_end() {
    let mut world = world();
    for id in ["runs", "waits"] {
        world.offer(&Spec::new(id, "t"));
    }
    world.offer(&absent("a"));
    world.dispatch();
    world.live(9_000);
    let worker = world.workers.get_mut(&"w".into()).unwrap();
    worker.status.models.push("absent".to_owned());
    world.live(30_000);
    assert!(world.outcomes.is_empty());
}

#[test]
fn silence_over_a_seam_that_does_not_work_ends_nothing() {
    let mut world = world();
    world.offer(&absent("a"));
    world.core.seam_fails();
    world.live(30_000);
    let now = world.now();
    world.core.seam_works(now);
    world.live(9_900);
    assert!(world.outcomes.is_empty());
    world.live(200);
    assert_eq!(world.outcomes.len(), 1);
}
