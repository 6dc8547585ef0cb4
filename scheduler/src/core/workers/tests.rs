mod resting;

use super::Update::{Restarted, SameInstance, Stale};
use super::*;
use relay_schemas::{ModelState, ModelStatus};

const NOW: TimestampMs = TimestampMs(5_000);

fn status(name: &str, epoch: i64, seq: i64) -> WorkerStatus {
    WorkerStatus {
        worker: name.into(),
        epoch,
        pool: "p".to_owned(),
        models: vec!["m".to_owned()],
        capacity: Vec::new(),
        seq,
        short_partitions: vec![0, 1],
        long_partitions: vec![2],
        short_slots: 2,
        long_slots: 1,
        in_flight: Vec::new(),
        returned: Vec::new(),
        draining: false,
        sent_at: NOW,
    }
}

fn route(lane: Lane, models: &[&str]) -> Route {
    Route {
        lane,
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    }
}

fn short() -> Route {
    route(Lane::Short, &["m"])
}

fn workers(statuses: &[WorkerStatus]) -> Workers {
    let mut workers = Workers::new(1_000);
    for status in statuses {
        workers.update(status, NOW);
    }
    workers
}

fn assigned(workers: &mut Workers, route: &Route) -> Option<String> {
    let assignment = workers.assign(route, NOW);
    assignment.map(|assignment| assignment.worker.as_str().to_owned())
}

#[test]
fn an_older_status_changes_nothing_and_a_newer_epoch_is_a_restart() {
    let mut workers = workers(&[status("w", 2, 5)]);
    let updates = [(2, 5), (2, 4), (1, 9), (2, 6), (3, 0)]
        .map(|(epoch, seq)| workers.update(&status("w", epoch, seq), NOW));
    assert_eq!(updates, [Stale, Stale, Stale, SameInstance, Restarted]);
}

#[test]
fn leases_and_what_others_hold_take_slots_until_they_are_released() {
    let mut workers = workers(&[status("w", 1, 1)]);
    let worker = InstanceId::from("w");
    workers.lease(&worker, 1, &short(), &"a".into());
    assert!(workers.can_take(&short(), NOW));
    workers.reconcile(&worker, [&short()].into_iter(), HashSet::from(["x".into()]));
    assert!(!workers.can_take(&short(), NOW));
    assert!(
        !workers.can_take(&route(Lane::Long, &["m"]), NOW),
        "a foreign request counts in both lanes"
    );
    workers.ended(&worker, &"x".into());
    assert!(workers.can_take(&short(), NOW));
    workers.lease(&worker, 1, &short(), &"b".into());
    assert!(!workers.can_take(&short(), NOW));
    workers.release(&worker, 0, &short());
    assert!(
        !workers.can_take(&short(), NOW),
        "a lease of another epoch was never counted"
    );
    workers.release(&worker, 1, &short());
    assert!(workers.can_take(&short(), NOW));
}

#[test]
fn a_foreign_request_that_becomes_our_lease_is_counted_once() {
    let mut workers = workers(&[status("w", 1, 1)]);
    let worker = InstanceId::from("w");
    workers.reconcile(&worker, [].into_iter(), HashSet::from(["a".into()]));
    workers.lease(&worker, 1, &short(), &"a".into());
    assert!(workers.can_take(&short(), NOW));
}

#[test]
fn the_first_model_that_has_credit_decides_then_the_most_credit_then_the_name() {
    let mut other = status("a", 1, 1);
    other.models = vec!["n".to_owned()];
    let mut workers = workers(&[other, status("c", 1, 1), status("b", 1, 1)]);
    assert_eq!(
        assigned(&mut workers, &route(Lane::Short, &["n", "m"])).as_deref(),
        Some("a")
    );
    assert_eq!(
        assigned(&mut workers, &route(Lane::Short, &["m", "n"])).as_deref(),
        Some("b")
    );
    workers.lease(&"b".into(), 1, &short(), &"x".into());
    assert_eq!(assigned(&mut workers, &short()).as_deref(), Some("c"));
    assert_eq!(assigned(&mut workers, &route(Lane::Short, &["o"])), None);
}

#[test]
fn the_partitions_of_a_worker_take_turns() {
    let mut workers = workers(&[status("w", 1, 1)]);
    let partitions = [0; 3].map(|_| workers.assign(&short(), NOW).map(|seat| seat.partition));
    assert_eq!(partitions, [Some(1), Some(0), Some(1)]);
}

#[test]
fn a_worker_that_drains_or_was_silent_gets_nothing() {
    let mut draining = status("w", 1, 1);
    draining.draining = true;
    assert!(!workers(&[draining]).can_take(&short(), NOW));
    let workers = workers(&[status("w", 1, 1)]);
    assert!(workers.can_take(&short(), NOW.plus_ms(1_000)));
    assert!(!workers.can_take(&short(), NOW.plus_ms(1_001)));
}

#[test]
fn slots_count_both_lanes_of_all_workers() {
    assert_eq!(workers(&[status("a", 1, 1), status("b", 1, 1)]).slots(), 6);
}

#[test]
fn a_silent_worker_is_forgotten_once_no_lease_stands_on_it() {
    let mut workers = workers(&[status("a", 1, 1), status("b", 1, 1)]);
    workers.lease(&"b".into(), 1, &short(), &"x".into());
    workers.forget_silent(NOW);
    assert_eq!(workers.slots(), 6, "silent for no time yet");
    workers.forget_silent(NOW.plus_ms(1));
    assert_eq!(workers.slots(), 3);
    workers.release(&"b".into(), 1, &short());
    workers.forget_silent(NOW.plus_ms(1));
    assert_eq!(workers.slots(), 0);
}

fn model(name: &str, slots: u32, long_slots: u32) -> ModelStatus {
    ModelStatus {
        model: name.to_owned(),
        state: ModelState::Ready,
        slots,
        long_slots,
    }
}

/// A worker that advertises 64 + 32 slots and has these models.
fn with_models(models: &[ModelStatus]) -> WorkerStatus {
    WorkerStatus {
        capacity: models.to_vec(),
        short_slots: 64,
        long_slots: 32,
        ..status("w", 1, 1)
    }
}

/// How many of a route a worker is given, and takes.
fn given(workers: &mut Workers, route: &Route) -> usize {
    let mut given = 0;
    while let Some(assigned) = workers.assign(route, NOW) {
        workers.lease(
            &assigned.worker,
            1,
            route,
            &format!("{route:?} {given}").as_str().into(),
        );
        given += 1;
    }
    given
}

/// The literal case: 64 + 32 slots before an engine that turns 16 sequences.
#[test]
fn a_worker_is_given_no_more_of_a_model_than_it_turns_whatever_its_lanes_hold() {
    let long = route(Lane::Long, &["m"]);
    let mut workers = workers(&[with_models(&[model("m", 16, 12)])]);
    assert_eq!(
        (given(&mut workers, &long), given(&mut workers, &short())),
        (12, 4)
    );
    workers.release(&"w".into(), 1, &long);
    assert!(workers.can_take(&short(), NOW) && workers.can_take(&long, NOW));
    assert_eq!(workers.slots(), 16);
}

#[test]
fn each_model_is_bound_by_its_own_turns_and_the_lane_by_its_slots() {
    let mut workers = workers(&[with_models(&[model("m", 16, 16), model("n", 100, 100)])]);
    assert_eq!(given(&mut workers, &short()), 16);
    assert_eq!(given(&mut workers, &route(Lane::Short, &["n"])), 64 - 16);
}

#[test]
fn a_request_takes_a_turn_of_the_model_with_which_its_worker_begins() {
    let mut workers = workers(&[with_models(&[model("m", 2, 2), model("n", 100, 100)])]);
    let either = route(Lane::Short, &["o", "m", "n"]);
    assert_eq!(
        given(&mut workers, &either),
        2,
        "credit for `n` is none for what begins with `m`"
    );
    assert!(!workers.can_take(&short(), NOW));
    assert!(workers.can_take(&route(Lane::Short, &["n", "m"]), NOW));
}

#[test]
fn what_is_no_lease_of_ours_takes_a_turn_of_every_model() {
    let mut workers = workers(&[with_models(&[model("m", 1, 1), model("n", 2, 1)])]);
    workers.reconcile(&"w".into(), [].into_iter(), HashSet::from(["x".into()]));
    assert_eq!(
        (
            given(&mut workers, &short()),
            given(&mut workers, &route(Lane::Short, &["n"]))
        ),
        (0, 1)
    );
}

#[test]
fn a_model_that_loads_or_failed_to_load_takes_nothing_and_only_the_first_is_waited_for() {
    let of = |name: &str, state| ModelStatus {
        state,
        ..model(name, 0, 0)
    };
    let mut workers = Workers::new(1_000);
    workers.lead(TimestampMs(0));
    let models = [of("m", ModelState::Loading), of("n", ModelState::Failed)];
    workers.update(&with_models(&models), NOW);
    let [m, n] = ["m", "n"].map(|model| route(Lane::Short, &[model]));
    for route in [&m, &n] {
        assert!(!workers.serves(route, NOW) && !workers.can_take(route, NOW));
        assert_eq!(workers.unserved_ms(route, NOW), NOW.0);
    }
    assert_eq!([&m, &n].map(|route| workers.unawaited_ms(route, NOW)), [0, NOW.0]);
}

#[test]
fn only_a_live_worker_serves_a_route_and_only_its_present_life_lives() {
    let workers = workers(&[status("w", 2, 1)]);
    let [fresh, stale] = [NOW.plus_ms(1_000), NOW.plus_ms(1_001)];
    assert_eq!(
        [fresh, stale].map(|at| workers.serves(&short(), at)),
        [true, false]
    );
    assert!(!workers.serves(&route(Lane::Short, &["n"]), NOW));
    let lives = [(2, fresh), (2, stale), (1, fresh)].map(|(epoch, at)| workers.lives(&"w".into(), epoch, at));
    assert_eq!(lives, [true, false, false]);
}

#[test]
fn a_model_without_turns_for_the_long_lane_takes_short_requests_only() {
    let mut workers = workers(&[with_models(&[
        model("m", 4, 0),
        model("n", 4, 1),
        model("full", 0, 0),
    ])]);
    let serves =
        |workers: &Workers, lane| ["m", "n", "full"].map(|it| workers.serves(&route(lane, &[it]), NOW));
    assert_eq!(serves(&workers, Lane::Short), [true, true, true]);
    assert_eq!(
        serves(&workers, Lane::Long),
        [false, true, true],
        "where no turn is left one may come free"
    );
    assert_eq!(given(&mut workers, &route(Lane::Long, &["m"])), 0);
    let unserved = ["m", "n"].map(|it| workers.unserved_ms(&route(Lane::Long, &[it]), NOW.plus_ms(7)));
    assert_eq!(unserved, [NOW.0 + 7, 7], "it never told that it takes them");
}

#[test]
fn a_lane_without_slots_takes_nothing_unless_its_models_have_no_turn_left_either() {
    let with_slots = |slots, models: &[ModelStatus]| {
        let status = WorkerStatus {
            short_slots: slots,
            ..with_models(models)
        };
        workers(&[status]).serves(&short(), NOW)
    };
    assert!(with_slots(1, &[model("m", 1, 1)]));
    assert!(!with_slots(0, &[model("m", 1, 1)]));
    assert!(with_slots(0, &[model("m", 0, 0)]), "they may come free");
    let mut draining = with_models(&[model("m", 1, 1)]);
    draining.draining = true;
    assert!(!workers(&[draining]).serves(&short(), NOW));
    let mut elsewhere = with_models(&[model("m", 1, 1)]);
    elsewhere.short_partitions.clear();
    assert!(!workers(&[elsewhere]).serves(&short(), NOW));
}

#[test]
fn a_worker_that_drains_is_not_waited_for_to_load_a_model() {
    let mut loads = with_models(&[ModelStatus {
        state: ModelState::Loading,
        ..model("m", 0, 0)
    }]);
    loads.draining = true;
    assert_eq!(workers(&[loads]).unawaited_ms(&short(), NOW), NOW.0);
}
