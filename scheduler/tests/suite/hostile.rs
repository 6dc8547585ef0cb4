//! Tenants who try: what they do must not cost the others their share.

use relay_scheduler::{Config, Limits};
use relay_schemas::{ModelState, ModelStatus};
use relay_settings::ByteSize;

use crate::records::{Spec, worker};
use crate::world::World;

/// One worker with one slot.
fn world() -> World {
    World::new(Config::default()).with_worker("w", 1, 0)
}

fn offer(world: &mut World, tenant: &str, count: usize) {
    for n in 0..count {
        world.offer(&Spec::new(format!("{tenant}-{n}"), tenant));
    }
}

fn offer_undispatchable(world: &mut World, tenant: &str) {
    world.offer(&Spec {
        model: "absent".to_owned(),
        ..Spec::new(format!("{tenant}-absent"), tenant)
    });
}

/// Serves so many requests one after the other; how many of them were `tenant`'s.
fn serve(world: &mut World, count: usize, tenant: &str) -> usize {
    let before = world.dispatched.len();
    for _ in 0..count {
        world.dispatch();
        let running = world.dispatched.last().unwrap().request.request_id.clone();
        world.complete("w", &running, 10);
        world.fold();
    }
    let served = world.dispatched[before..].iter();
    served
        .filter(|work| work.request.tenant.as_str() == tenant)
        .count()
}

#[test]
fn a_request_that_no_live_worker_runs_gives_newcomers_no_head_start() {
    let mut world = world();
    offer_undispatchable(&mut world, "pin");
    offer(&mut world, "busy", 50);
    serve(&mut world, 20, "busy");
    offer(&mut world, "new", 20);
    let new = serve(&mut world, 20, "new");
    assert!((9..=11).contains(&new), "{new} of 20");
    let (gap, bound) = world.core.fairness();
    assert!(gap <= bound, "{gap} > {bound}");
}

#[test]
fn who_waits_for_a_model_that_no_live_worker_runs_earns_no_claim_by_it() {
    let mut world = world();
    offer_undispatchable(&mut world, "waits");
    offer(&mut world, "busy", 50);
    serve(&mut world, 20, "busy");
    offer(&mut world, "waits", 20);
    let waits = serve(&mut world, 20, "waits");
    assert!((9..=11).contains(&waits), "{waits} of 20");
}

#[test]
fn who_has_waited_for_a_worker_of_its_model_has_its_share_from_then_on_and_no_more() {
    let mut world = world();
    for n in 0..20 {
        world.offer(&Spec {
            model: "absent".to_owned(),
            ..Spec::new(format!("waits-{n}"), "waits")
        });
    }
    world.tell("w");
    offer(&mut world, "busy", 50);
    serve(&mut world, 20, "busy");
    let worker = world.workers.get_mut(&"w".into()).unwrap();
    worker.status.models.push("absent".to_owned());
    world.tell("w");
    let waits = serve(&mut world, 20, "waits");
    assert!((9..=11).contains(&waits), "{waits} of 20");
}

#[test]
fn between_tenants_that_wait_for_a_model_that_no_live_worker_runs_there_is_no_gap() {
    let mut world = world();
    offer_undispatchable(&mut world, "idle");
    offer(&mut world, "busy", 2);
    serve(&mut world, 1, "busy");
    offer_undispatchable(&mut world, "busy");
    assert_eq!(world.core.fairness().0, 0);
    world.tell("w");
    assert_eq!(world.core.fairness().0, 0);
}

/// Sixty prompts of 200 KB that an endpoint refuses; nine light tenants then waited for 20 s.
#[test]
fn prompts_that_fail_are_no_bank_of_prepaid_tokens() {
    let mut world = World::new(Config::default()).with_worker("w", 60, 0);
    for n in 0..60 {
        world.offer(&Spec {
            prompt: 50_000,
            ..Spec::new(format!("large-{n}"), "bank")
        });
    }
    offer(&mut world, "bank", 60);
    world.dispatch();
    for light in 0..9 {
        offer(&mut world, &format!("light{light}"), 3);
    }
    for n in 0..60 {
        world.fail("w", &format!("large-{n}").as_str().into());
    }
    world.fold();
    world.workers.get_mut(&"w".into()).unwrap().status.short_slots = 1;
    world.tell("w");
    let bank = serve(&mut world, 30, "bank");
    assert!(bank <= 4, "{bank} of 30, for a tenth of the tenants");
}

#[test]
fn a_run_that_fails_or_is_lost_is_charged_what_it_has_shown() {
    type End = fn(&mut World);
    let ends: [(&str, End, u64); 3] = [
        (
            "it fails and says that it used nothing",
            |world| world.fail("w", &"a".into()),
            60,
        ),
        ("its worker loses it", |world| world.lose_work("w"), 70),
        (
            "its worker gives it back",
            |world| world.give_back("w", "a", "backend_error"),
            70,
        ),
    ];
    for (case, end, expected) in ends {
        let mut world = world();
        world.offer(&Spec {
            fallback: Some("spare".to_owned()),
            ..Spec::new("a", "t")
        });
        world.dispatch();
        world.produce("w", &"a".into(), 30);
        world.tell("w");
        end(&mut world);
        world.fold();
        world.live(2_200);
        assert_eq!(
            world.core.counters(),
            [("t".to_owned(), expected * 1_000)],
            "{case}"
        );
    }
}

/// The bound stayed at 38 million after one prompt of 200 KB.
#[test]
fn the_bound_falls_again_once_a_long_prompt_has_ended() {
    let mut world = world();
    offer(&mut world, "t", 2);
    let before = world.core.fairness();
    world.offer(&Spec {
        prompt: 50_000,
        output: 4_000,
        ..Spec::new("large", "t")
    });
    assert!(world.core.fairness().1 > before.1);
    serve(&mut world, 3, "t");
    offer(&mut world, "u", 2);
    assert_eq!(world.core.fairness().1, before.1);
}

/// 280 requests of 1 MB stopped the reading for everybody: 22 s instead of 0.17 s beside 64 free slots.
#[test]
fn a_tenant_whose_requests_are_large_does_not_keep_the_others_from_being_read() {
    let config = Config {
        limits: Limits {
            max_bodies: ByteSize::b(1_000),
            max_bodies_per_tenant: ByteSize::b(300),
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config).with_worker("w", 1, 0);
    offer(&mut world, "large", 20);
    world.fold();
    assert_eq!(world.outcomes.len(), 17);
    let codes = world.outcomes.iter().map(|outcome| outcome.code.as_deref());
    assert!(codes.into_iter().all(|code| code == Some("tenant_queue_full")));
    assert!(!world.core.is_full());
    world.dispatch();
    world.complete("w", &"large-0".into(), 3);
    world.fold();
    world.offer(&Spec::new("another", "large"));
    world.offer(&Spec::new("light", "light"));
    assert_eq!(world.core.counts().waiting_short, 4);
}

/// Two models: `m`, which turns four at once, and one that turns one; a run of `pin` fills it and stands still, and a second one waits.
fn pinned() -> World {
    let mut world = World::new(Config::default()).with_worker("w", 64, 32);
    let told = |model: &str, slots| ModelStatus {
        model: model.to_owned(),
        state: ModelState::Ready,
        slots,
        long_slots: slots,
    };
    let worker = world.workers.get_mut(&"w".into()).unwrap();
    worker.status.models = vec!["m".to_owned(), "slow".to_owned()];
    worker.status.capacity = vec![told("m", 4), told("slow", 1)];
    world.tell("w");
    for n in 0..2 {
        world.offer(&slow(&format!("pin-{n}"), "pin"));
    }
    world.dispatch();
    world
}

fn slow(id: &str, tenant: &str) -> Spec {
    Spec {
        model: "slow".to_owned(),
        ..Spec::new(id, tenant)
    }
}

/// Serves so many requests for `m`; how many that were dispatched meanwhile were `tenant`'s.
fn serve_m(world: &mut World, count: usize, tenant: &str) -> usize {
    world.dispatch();
    let before = world.dispatched.len();
    for _ in 0..count {
        let works = &world.workers[&"w".into()].works;
        let next = works.iter().find(|work| work.request.model == "m").cloned();
        world.complete("w", &next.unwrap().request.request_id, 20);
        world.fold();
        world.dispatch();
    }
    let served = world.dispatched[before..].iter();
    served
        .filter(|work| work.request.tenant.as_str() == tenant)
        .count()
}

/// A newcomer took 100 of 100 from an equal tenant, as one request waited for a model whose only turn was taken.
#[test]
fn a_request_for_a_model_whose_turns_are_all_taken_gives_newcomers_at_another_no_head_start() {
    let mut world = pinned();
    offer(&mut world, "busy", 300);
    serve_m(&mut world, 100, "busy");
    offer(&mut world, "new", 300);
    let new = serve_m(&mut world, 100, "new");
    assert!((45..=55).contains(&new), "{new} of 100");
    let (gap, bound) = world.core.fairness();
    assert!(gap <= bound, "{gap} > {bound}");
}

/// By reading: a newcomer that asked for the slow model or else for `m` took 100 of 100, by where it stood at the slow one.
#[test]
fn a_request_that_also_names_a_slow_model_has_its_turn_where_its_tenant_stands_at_the_one_that_it_uses() {
    let mut slow_one = worker("slow-one", 1, 1, 0);
    slow_one.models = vec!["slow".to_owned()];
    let mut world = world();
    world.add(slow_one);
    for n in 0..2 {
        world.offer(&slow(&format!("pin-{n}"), "pin"));
    }
    world.dispatch();
    offer(&mut world, "busy", 300);
    serve(&mut world, 100, "busy");
    for n in 0..300 {
        world.offer(&Spec {
            second: Some("m".to_owned()),
            ..slow(&format!("new-{n}"), "new")
        });
    }
    let new = serve(&mut world, 100, "new");
    assert!((45..=55).contains(&new), "{new} of 100");
}

#[test]
fn who_waits_for_a_slow_model_earns_no_claim_to_another_by_it_and_loses_none_by_asking_for_another() {
    let mut world = pinned();
    world.offer(&slow("patient", "patient"));
    offer(&mut world, "busy", 300);
    serve_m(&mut world, 100, "busy");
    offer(&mut world, "pin", 100);
    let pin = serve_m(&mut world, 100, "pin");
    assert!((45..=55).contains(&pin), "{pin} of 100");
    // `patient` asks for `m` as well, where it is lifted; at the slow model it stands as before: ahead of `pin`, which was served more.
    offer(&mut world, "patient", 1);
    world.complete("w", &"pin-0".into(), 20);
    world.fold();
    world.dispatch();
    let slow = world
        .dispatched
        .iter()
        .rev()
        .find(|work| work.request.model == "slow");
    assert_eq!(slow.unwrap().request.request_id.as_str(), "patient");
}
