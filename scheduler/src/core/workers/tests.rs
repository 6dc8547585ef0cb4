use super::Update::{Restarted, SameInstance, Stale};
use super::*;

const NOW: TimestampMs = TimestampMs(5_000);

fn status(name: &str, epoch: i64, seq: i64) -> WorkerStatus {
    WorkerStatus {
        worker: name.into(),
        epoch,
        pool: "p".to_owned(),
        models: vec!["m".to_owned()],
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
    workers.lease(&worker, 1, Lane::Short, &"a".into());
    assert!(workers.can_take(&short(), NOW));
    workers.reconcile(&worker, [1, 0], HashSet::from(["x".into()]));
    assert!(!workers.can_take(&short(), NOW));
    assert!(
        !workers.can_take(&route(Lane::Long, &["m"]), NOW),
        "a foreign request counts in both lanes"
    );
    workers.ended(&worker, &"x".into());
    assert!(workers.can_take(&short(), NOW));
    workers.lease(&worker, 1, Lane::Short, &"b".into());
    assert!(!workers.can_take(&short(), NOW));
    workers.release(&worker, 0, Lane::Short);
    assert!(
        !workers.can_take(&short(), NOW),
        "a lease of another epoch was never counted"
    );
    workers.release(&worker, 1, Lane::Short);
    assert!(workers.can_take(&short(), NOW));
}

#[test]
fn a_foreign_request_that_becomes_our_lease_is_counted_once() {
    let mut workers = workers(&[status("w", 1, 1)]);
    let worker = InstanceId::from("w");
    workers.reconcile(&worker, [0, 0], HashSet::from(["a".into()]));
    workers.lease(&worker, 1, Lane::Short, &"a".into());
    assert!(workers.can_take(&short(), NOW));
}

#[test]
fn leases_stay_over_a_status_and_are_gone_with_a_restart() {
    let mut workers = workers(&[status("w", 1, 1)]);
    let worker = InstanceId::from("w");
    workers.reconcile(&worker, [2, 0], HashSet::new());
    workers.update(&status("w", 1, 2), NOW);
    assert!(!workers.can_take(&short(), NOW));
    workers.update(&status("w", 2, 0), NOW);
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
    workers.lease(&"b".into(), 1, Lane::Short, &"x".into());
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
    workers.lease(&"b".into(), 1, Lane::Short, &"x".into());
    workers.forget_silent(NOW);
    assert_eq!(workers.slots(), 6, "silent for no time yet");
    workers.forget_silent(NOW.plus_ms(1));
    assert_eq!(workers.slots(), 3);
    workers.release(&"b".into(), 1, Lane::Short);
    workers.forget_silent(NOW.plus_ms(1));
    assert_eq!(workers.slots(), 0);
}
