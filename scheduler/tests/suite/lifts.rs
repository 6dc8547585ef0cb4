//! How far a tenant was lifted is told by model, in a snapshot as well.

use relay_scheduler::Config;
use relay_scheduler::core::Core;
use relay_schemas::{ModelState, ModelStatus, SchedulerSnapshot, Service, WorkerStatus};

use crate::records::{Spec, worker};
use crate::world::{World, run};

fn told(model: &str, slots: u32) -> ModelStatus {
    ModelStatus {
        model: model.to_owned(),
        state: ModelState::Ready,
        slots,
        long_slots: slots,
    }
}

/// Four turns of `m` and one of `slow`, of one worker.
fn both_models() -> WorkerStatus {
    let mut status = worker("w", 1, 64, 32);
    status.models = vec!["m".to_owned(), "slow".to_owned()];
    status.capacity = vec![told("m", 4), told("slow", 1)];
    status
}

fn offer(world: &mut World, tenant: &str, model: &str, count: usize) {
    for n in 0..count {
        world.offer(&Spec {
            model: model.to_owned(),
            ..Spec::new(format!("{tenant}-{model}-{n}"), tenant)
        });
    }
    world.dispatch();
}

/// Serves so many requests of a model, one after the other; how many that were dispatched meanwhile were `tenant`'s.
fn serve(world: &mut World, model: &str, count: usize, tenant: &str) -> usize {
    let before = world.dispatched.len();
    for _ in 0..count {
        let works = &world.workers[&"w".into()].works;
        let next = works.iter().find(|work| work.request.model == model).cloned();
        world.complete("w", &next.unwrap().request.request_id, 20);
        world.fold();
        world.dispatch();
    }
    let served = world.dispatched[before..].iter();
    served
        .filter(|work| work.request.tenant.as_str() == tenant && work.request.model == model)
        .count()
}

/// `y` uses only the slow model. `x` came to `m`, where it was lifted to what `busy` had used, and then to the slow one as well.
fn lifted() -> World {
    let mut world = World::new(Config::default());
    world.add(both_models());
    offer(&mut world, "y", "slow", 60);
    offer(&mut world, "busy", "m", 300);
    serve(&mut world, "m", 200, "busy");
    offer(&mut world, "x", "m", 1);
    offer(&mut world, "x", "slow", 60);
    world
}

/// A successor that begins with `snapshot`; `heard`: it hears a status before it leads.
fn take_over(world: &mut World, snapshot: &SchedulerSnapshot, heard: bool) {
    let (now, specs) = (world.now(), world.ready_log.clone());
    let mut core = Core::new(world.config.clone(), "default", run(Service::Scheduler, "s2", 0));
    core.restore(snapshot);
    for (offset, spec) in specs.iter().enumerate() {
        core.offer(spec.offer(offset as i64, world.now), now);
    }
    world.core = core;
    if heard {
        world.tell("w");
    }
    world.core.lead(9, now);
    world.core.seam_works(now);
    world.tell("w");
    world.dispatch();
}

/// By reading: the farthest lift counted everywhere, and `x` got nothing of the slow model until `y` had used as much as `busy`.
#[test]
fn who_was_lifted_at_one_model_has_its_share_of_another_after_a_takeover() {
    for heard in [true, false] {
        let mut world = lifted();
        let snapshot = world.core.snapshot();
        take_over(&mut world, &snapshot, heard);
        let x = serve(&mut world, "slow", 40, "x");
        assert!((18..=22).contains(&x), "{x} of 40");
        offer(&mut world, "x", "m", 60);
        let x = serve(&mut world, "m", 40, "x");
        assert!(
            (5..=20).contains(&x),
            "{x} of 40: it pays there for what it used elsewhere, and has no claim to what others used before"
        );
    }
}

/// By reading: while no worker had told itself to the new leader everything counted as away, and was lifted to the greatest floor.
#[test]
fn nobody_who_waits_is_lifted_by_a_takeover_before_which_no_worker_told_itself() {
    let mut world = World::new(Config::default());
    world.add(both_models());
    offer(&mut world, "busy", "m", 300);
    serve(&mut world, "m", 200, "busy");
    offer(&mut world, "y", "slow", 30);
    serve(&mut world, "slow", 20, "y");
    offer(&mut world, "x", "slow", 30);
    let before = world.core.counters();
    let snapshot = world.core.snapshot();
    take_over(&mut world, &snapshot, false);
    assert_eq!(world.core.counters(), before);
}

#[test]
fn a_snapshot_of_a_version_that_knew_no_models_counts_everywhere() {
    let mut world = lifted();
    let mut snapshot = world.core.snapshot();
    snapshot.floors.clear();
    for tenant in &mut snapshot.tenants {
        (tenant.settled, tenant.lifts) = (None, Vec::new());
    }
    take_over(&mut world, &snapshot, true);
    let counters = world.core.counters();
    let x = counters.iter().find(|(tenant, _)| tenant == "x").unwrap().1;
    let expected = snapshot
        .tenants
        .iter()
        .find(|it| it.tenant.as_str() == "x")
        .unwrap();
    assert!(x >= expected.counter as u64 && x > 1_000_000, "{x}");
}
