//! A successor whose memory is full leads before it has read every offer again.

use relay_scheduler::Config;
use relay_scheduler::core::{At, Core, Input};
use relay_schemas::Service;

use crate::records::Spec;
use crate::world::{World, run};

const FIRST: At = At {
    partition: 0,
    offset: 0,
};

/// One request of `t` runs on `w`; its lease is in the snapshot.
fn running() -> World {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world
}

/// A successor that leads on the world's snapshot alone.
fn successor(world: &World) -> Core {
    let mut core = Core::new(world.config.clone(), "default", run(Service::Scheduler, "s2", 0));
    core.restore(&world.core.snapshot());
    core.lead(9, world.now());
    core
}

/// Found by the simulation, seed 48: the tenant was never charged.
#[test]
fn a_run_that_ends_before_its_offer_is_read_again_is_charged_and_expected_no_longer() {
    let mut world = running();
    let mut core = successor(&world);
    world.complete("w", &"a".into(), 5);
    core.outcome(&world.outcomes[0], FIRST);
    world.fold();
    assert_eq!(core.tenant_tokens(&"t".into()), (10, 5));
    assert_eq!(
        core.counters(),
        world.core.counters(),
        "as if its lease were held"
    );
    let (counts, held) = (core.counts(), world.core.counts());
    assert_eq!(
        (counts.prompt_tokens, counts.completion_tokens),
        (held.prompt_tokens, held.completion_tokens)
    );
    assert!(core.snapshot().leases.is_empty());
    assert!(!core.wants(FIRST));
}

#[test]
fn the_same_outcome_again_or_one_of_another_pool_charges_nothing() {
    let mut world = running();
    let mut core = successor(&world);
    world.complete("w", &"a".into(), 5);
    let mut others = world.outcomes[0].clone();
    others.request_id = "b".into();
    others.queueing.as_mut().unwrap().pool = "other".to_owned();
    for (offset, outcome) in [&world.outcomes[0], &world.outcomes[0], &others]
        .into_iter()
        .enumerate()
    {
        let offset = offset as i64;
        core.outcome(outcome, At { offset, ..FIRST });
    }
    assert_eq!(core.tenant_tokens(&"t".into()), (10, 5));
    assert_eq!(core.counts().superseded, 1);
}

#[test]
fn a_late_work_record_takes_no_lease_away_that_is_known_by_its_position_only() {
    let world = running();
    let mut core = successor(&world);
    let mut zombie = world.dispatched[0].clone();
    zombie.lease.scheduler_epoch = 3;
    zombie.lease.worker = "w0".into();
    let behind = At { offset: 1, ..FIRST };
    core.work(zombie, Input::WorkShort, behind, Some(FIRST), world.now());
    let lease = core.lease_of(&"a".into()).unwrap();
    assert_eq!((lease.worker.as_str(), lease.scheduler_epoch), ("w", 7));
    assert_eq!(core.snapshot().leases.len(), 1, "it is held once");
}

/// Found by the simulation, seed 1995: its lease was revoked, so the snapshot gives it as a position without a name.
#[test]
fn a_run_that_had_lost_its_lease_and_ends_before_its_offer_is_read_again_is_charged() {
    let mut world = running();
    world.lose_work("w");
    world.live(2_300);
    assert_eq!(world.core.snapshot().requeued.len(), 1);
    let mut core = successor(&world);
    world.complete("w", &"a".into(), 5);
    core.outcome(&world.outcomes[0], FIRST);
    assert_eq!(core.tenant_tokens(&"t".into()), (10, 5));
    core.offer(Spec::new("a", "t").offer(0, 0), world.now());
    assert_eq!(core.counts().waiting_short, 0, "it does not run again");
}
