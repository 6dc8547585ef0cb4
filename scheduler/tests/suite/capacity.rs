//! What workers turn at once, and that no more is given to them.

use relay_scheduler::Config;
use relay_schemas::{ModelState, ModelStatus, OutcomeStatus};

use crate::records::Spec;
use crate::world::World;

fn told(state: ModelState, slots: u32, long_slots: u32) -> Vec<ModelStatus> {
    vec![ModelStatus {
        model: "m".to_owned(),
        state,
        slots,
        long_slots,
    }]
}

impl World {
    /// The worker tells so of its model `m`.
    fn model(&mut self, name: &str, state: ModelState, slots: u32, long_slots: u32) {
        let worker = self.workers.get_mut(&name.into()).unwrap();
        let models = if state == ModelState::Ready {
            vec!["m".to_owned()]
        } else {
            Vec::new()
        };
        worker.status.models = models;
        worker.status.capacity = told(state, slots, long_slots);
        self.tell(name);
    }

    fn held(&self, name: &str) -> usize {
        self.workers[&name.into()].works.len()
    }
}

/// The literal case: light waited 16.4 s where it had waited 33 ms, behind a hog's requests that stood in the engine's own queue.
#[test]
fn who_comes_beside_a_hog_is_next_as_soon_as_a_turn_is_free_for_nothing_waits_at_the_worker() {
    let mut world = World::new(Config::default()).with_worker("w", 64, 32);
    world.model("w", ModelState::Ready, 16, 12);
    for n in 0..200 {
        world.offer(&Spec {
            long: n % 2 == 0,
            ..Spec::new(format!("hog-{n}"), "hog")
        });
    }
    world.dispatch();
    world.tell("w");
    world.dispatch();
    assert_eq!(world.held("w"), 16);
    world.offer(&Spec::new("light", "light"));
    world.dispatch();
    assert_eq!(world.held("w"), 16);
    let first = world.dispatched[0].request.request_id.clone();
    world.complete("w", &first, 20);
    world.fold();
    world.dispatch();
    assert_eq!(world.held("w"), 16);
    assert_eq!(world.ids_dispatched()[16..], ["light"]);
}

#[test]
fn a_request_waits_for_a_worker_that_loads_its_model_however_long_that_takes() {
    let mut world = World::new(Config::default()).with_worker("w", 64, 32);
    world.model("w", ModelState::Loading, 0, 0);
    world.offer(&Spec::new("a", "t"));
    world.live(60_000);
    world.dispatch();
    assert!(world.outcomes.is_empty() && world.dispatched.is_empty());
    world.model("w", ModelState::Ready, 16, 12);
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a"]);
}

/// By reading: its turns were those of runs that had begun with another model, and after ten seconds it counted as not there.
#[test]
fn a_request_waits_for_a_ready_model_of_which_no_turn_is_left_however_long_that_takes() {
    for lanes in [(64, 32), (0, 0)] {
        let mut world = World::new(Config::default()).with_worker("w", 64, 32);
        let status = &mut world.workers.get_mut(&"w".into()).unwrap().status;
        (status.short_slots, status.long_slots) = lanes;
        world.model("w", ModelState::Ready, 0, 0);
        for long in [false, true] {
            let fallback = Some("spare".to_owned());
            let spec = |id: &str| Spec {
                long,
                ..Spec::new(format!("{id}-{long}"), "t")
            };
            world.offer(&spec("stays"));
            world.offer(&Spec {
                fallback,
                ..spec("goes")
            });
        }
        world.live(60_000);
        world.dispatch();
        assert!(world.outcomes.is_empty() && world.handed_over.is_empty());
        assert!(world.dispatched.is_empty());
        let status = &mut world.workers.get_mut(&"w".into()).unwrap().status;
        (status.short_slots, status.long_slots) = (64, 32);
        world.model("w", ModelState::Ready, 16, 12);
        world.dispatch();
        assert_eq!(world.dispatched.len(), 4);
    }
}

#[test]
fn while_its_model_loads_a_request_goes_on_in_the_other_pool_of_its_plan() {
    let mut world = World::new(Config::default()).with_worker("w", 64, 32);
    world.model("w", ModelState::Loading, 0, 0);
    world.offer(&Spec {
        fallback: Some("spare".to_owned()),
        ..Spec::new("a", "t")
    });
    world.live(60_000);
    assert_eq!(world.handed_over.len(), 1);
}

#[test]
fn a_model_that_no_worker_could_load_is_one_that_no_worker_runs() {
    let mut world = World::new(Config::default()).with_worker("w", 64, 32);
    world.model("w", ModelState::Failed, 0, 0);
    world.offer(&Spec::new("a", "t"));
    world.live(10_100);
    assert_eq!(world.outcome("a").unwrap().code.as_deref(), Some("no_worker"));
}

/// Every run of `broken` fails before it begins; `sound` completes what it holds, one at a time.
fn two_workers() -> World {
    let mut world = World::new(Config::default())
        .with_worker("broken", 64, 32)
        .with_worker("sound", 64, 32);
    for worker in ["broken", "sound"] {
        world.model(worker, ModelState::Ready, 16, 12);
    }
    // Whoever has just begun to lead waits for other workers to be heard of.
    world.live(1_000);
    world
}

#[test]
fn who_has_just_begun_to_lead_waits_for_other_workers_to_be_heard_of() {
    let mut world = World::new(Config::default()).with_worker("broken", 64, 32);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.refuse("broken", "a");
    world.dispatch();
    assert!(world.outcomes.is_empty());
    assert_eq!(world.dispatched.len(), 1);
    world.live(500);
    world = world.with_worker("sound", 64, 32);
    world.dispatch();
    assert_eq!(world.held("sound"), 1);
}

fn refuse_all(world: &mut World) -> usize {
    let held = world.workers[&"broken".into()].works.clone();
    for work in &held {
        world.refuse("broken", work.request.request_id.as_str());
    }
    held.len()
}

/// The sound worker answers what it was given first, and a tenth of a second passes.
fn the_sound_one_answers(world: &mut World) {
    let next = world.workers[&"sound".into()].works.first().cloned();
    if let Some(next) = next {
        world.complete("sound", &next.request.request_id, 20);
    }
    world.fold();
    world.live(100);
}

/// Each of two hundred requests was answered, once.
fn all_are_answered(world: &World) {
    let completed = |outcome: &relay_schemas::Outcome| outcome.status == OutcomeStatus::Completed;
    assert_eq!(world.outcomes.iter().filter(|it| completed(it)).count(), 200);
    assert_eq!(world.outcomes.len(), 200);
}

/// The literal case: 146 of 200 requests ended with 503 beside a healthy worker, as who fails at once always has most credit.
#[test]
fn of_two_workers_one_of_which_cannot_begin_a_run_the_other_answers_every_request() {
    let mut world = two_workers();
    for n in 0..200 {
        world.offer(&Spec::new(format!("r{n}"), "t"));
    }
    let mut refused = 0;
    for _ in 0..400 {
        world.dispatch();
        refused += refuse_all(&mut world);
        world.dispatch();
        the_sound_one_answers(&mut world);
    }
    all_are_answered(&world);
    // It took sixteen before it was known, and one a rest since.
    assert!((17..25).contains(&refused), "{refused}");
}

/// By reading: it told its statuses, so each of its leases counted as no attempt, its turns were all free, and it was given the same
/// requests again, up to nineteen times each, beside a healthy worker.
#[test]
fn of_two_workers_one_of_which_does_not_read_its_work_the_other_answers_every_request() {
    let mut world = two_workers();
    for n in 0..200 {
        world.offer(&Spec::new(format!("r{n}"), "t"));
    }
    for _ in 0..600 {
        world.dispatch();
        world.never_read("broken");
        the_sound_one_answers(&mut world);
    }
    all_are_answered(&world);
    let drawn = world.dispatched.len() - 200;
    // All its turns before it was known, and one a rest since.
    assert!((17..25).contains(&drawn), "{drawn}");
    // Once it reads again one run shows it.
    for n in 0..40 {
        world.offer(&Spec::new(format!("s{n}"), "t"));
    }
    world.live(60_000);
    world.workers.get_mut(&"broken".into()).unwrap().works.clear();
    world.dispatch();
    assert_eq!(world.held("broken"), 1);
    world.tell("broken");
    world.dispatch();
    assert_eq!(world.held("broken"), 16);
}

/// By reading: 255 of 256 turns stood idle until the one answer of five minutes had come to its end, or for ever where it was cancelled.
#[test]
fn after_a_rest_a_worker_takes_what_it_turns_as_soon_as_one_run_shows_a_token() {
    let mut world = two_workers();
    for n in 0..16 {
        world.offer(&Spec::new(format!("r{n}"), "t"));
    }
    world.dispatch();
    let held = world.workers[&"broken".into()].works.clone();
    let id = |at: usize| held[at].request.request_id.clone();
    world.produce("broken", &id(0), 1);
    world.refuse("broken", id(1).as_str());
    world.produce("broken", &id(0), 2);
    world.live(1_000);
    let worker = world.workers.get_mut(&"broken".into()).unwrap();
    worker.works.clear();
    worker.status.in_flight.clear();
    for work in &held {
        world.cancel(work.request.request_id.as_str(), "t");
    }
    world.live(2_100);
    for n in 0..40 {
        world.offer(&Spec::new(format!("s{n}"), "t"));
    }
    world.dispatch();
    assert_eq!(
        (world.held("broken"), world.held("sound")),
        (1, 16),
        "what had begun before shows nothing"
    );
    let probe = world.workers[&"broken".into()].works[0]
        .request
        .request_id
        .clone();
    world.produce("broken", &probe, 1);
    world.tell("broken");
    world.dispatch();
    assert_eq!(world.held("broken"), 16);
}

#[test]
fn a_run_that_failed_before_it_began_is_no_attempt_and_one_that_nobody_can_begin_fails_with_its_reason_and_for_nothing()
 {
    let mut world = two_workers();
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    refuse_all(&mut world);
    world.dispatch();
    assert_eq!(world.held("sound"), 1);
    // Its worker is lost as often as its attempts allow, the refusal not among them.
    for _ in 0..2 {
        world.workers.get_mut(&"sound".into()).unwrap().works.clear();
        world.lose_work("sound");
        world.live(2_200);
        world.dispatch();
        assert!(world.outcome("a").is_none());
    }
    assert_eq!(world.dispatched.last().unwrap().lease.attempt, 4);
    let on = world.dispatched.last().unwrap().lease.worker.clone();
    world.refuse(on.as_str(), "a");
    if world.outcome("a").is_none() {
        world.dispatch();
        let on = world.dispatched.last().unwrap().lease.worker.clone();
        world.refuse(on.as_str(), "a");
    }
    let outcome = world.outcome("a").unwrap();
    assert_eq!(
        (
            outcome.status,
            outcome.code.as_deref(),
            outcome.message.as_deref()
        ),
        (
            OutcomeStatus::Failed,
            Some("backend_unavailable"),
            Some("connection refused")
        )
    );
    assert_eq!(outcome.usage, relay_schemas::Usage::default());
    world.fold();
    assert_eq!(world.core.tenant_tokens(&"t".into()), (0, 0));
}

#[test]
fn where_another_pool_follows_another_worker_of_this_one_is_asked_first() {
    let mut world = two_workers();
    world.offer(&Spec {
        fallback: Some("spare".to_owned()),
        ..Spec::new("a", "t")
    });
    world.dispatch();
    refuse_all(&mut world);
    world.dispatch();
    assert!(world.handed_over.is_empty());
    world.refuse("sound", "a");
    assert_eq!(world.handed_over.len(), 1);
}

#[test]
fn refusals_without_end_are_attempts_in_the_end() {
    let mut world = two_workers();
    for name in 0..40 {
        world = world.with_worker(&format!("w{name}"), 1, 1);
    }
    world.offer(&Spec::new("a", "t"));
    for _ in 0..42 {
        world.dispatch();
        let Some(work) = world.dispatched.last().cloned() else {
            break;
        };
        if world.outcome("a").is_some() {
            break;
        }
        world.refuse(work.lease.worker.as_str(), "a");
    }
    assert_eq!(
        world.outcome("a").unwrap().code.as_deref(),
        Some("backend_unavailable")
    );
    assert_eq!(world.dispatched.len(), 16 + 3);
}
