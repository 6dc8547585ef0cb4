//! What workers turn at once, and that no more is given to them.

use relay_scheduler::Config;
use relay_schemas::{ModelState, ModelStatus};

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
