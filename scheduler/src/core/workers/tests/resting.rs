//! Workers that failed a model, or did not read what they were given, beside others.

use super::*;

/// `w` has failed `m`, and `v` takes it.
fn rested() -> Workers {
    let mut workers = workers(&[status("v", 1, 1), status("w", 1, 1)]);
    workers.failed_to_begin(&"w".into(), &short(), Unbegun::Failed, NOW, NOW);
    workers
}

fn takers(workers: &mut Workers, at: TimestampMs) -> Vec<String> {
    let mut takers = Vec::new();
    while let Some(assigned) = workers.assign(&short(), at) {
        workers.lease(
            &assigned.worker,
            assigned.epoch,
            &short(),
            &takers.len().to_string().as_str().into(),
        );
        takers.push(assigned.worker.as_str().to_owned());
    }
    takers
}

#[test]
fn who_failed_a_model_rests_while_another_takes_it_and_is_tried_with_one_run_after_that() {
    assert_eq!(takers(&mut rested(), NOW), ["v", "v"]);
    let over = NOW.plus_ms(1_000);
    assert_eq!(takers(&mut rested(), over), ["v", "v", "w"]);
    assert_eq!(
        takers(&mut rested(), NOW.plus_ms(999)),
        ["v", "v"],
        "its rest is not over"
    );
}

#[test]
fn who_failed_a_model_takes_it_all_the_same_where_no_other_does() {
    for at in [NOW, NOW.plus_ms(1_000)] {
        let mut workers = workers(&[status("w", 1, 1)]);
        workers.failed_to_begin(&"w".into(), &short(), Unbegun::Failed, NOW, NOW);
        assert_eq!(
            takers(&mut workers, at),
            ["w", "w"],
            "while it rests, and after that"
        );
    }
    let mut workers = rested();
    let mut drains = status("v", 1, 2);
    drains.draining = true;
    workers.update(&drains, NOW);
    let mut another = status("u", 1, 1);
    another.models = vec!["n".to_owned()];
    workers.update(&another, NOW);
    assert!(!workers.others_may_take(&short(), NOW));
    workers.update(&status("s", 1, 1), NOW);
    assert!(workers.others_may_take(&short(), NOW));
    assert!(
        !workers.others_may_take(&short(), NOW.plus_ms(1_001)),
        "they are silent"
    );
}

#[test]
fn who_has_just_begun_to_lead_may_hear_of_others_yet() {
    let mut workers = workers(&[]);
    workers.lead(NOW);
    let may = [-1, 0, 999, 1_000].map(|ms| workers.others_may_take(&short(), NOW.plus_ms(ms)));
    assert_eq!(may, [false, true, true, false]);
    assert_eq!(
        workers.unserved_ms(&short(), NOW.plus_ms(40)),
        40,
        "silence counts from then on"
    );
    assert_eq!(workers.unawaited_ms(&short(), NOW.plus_ms(40)), 40);
}

#[test]
fn a_run_that_began_ends_the_rest_of_its_worker_and_so_does_a_new_life_of_it() {
    let after = NOW.plus_ms(1);
    let mut works = rested();
    works.works(&"w".into(), &short(), after);
    assert_eq!(takers(&mut works, NOW).len(), 4);
    let mut restarted = rested();
    restarted.update(&status("w", 2, 0), NOW);
    assert_eq!(takers(&mut restarted, NOW).len(), 4);
}

#[test]
fn a_worker_that_did_not_read_its_work_is_trusted_again_when_it_has_read_some() {
    let mut workers = workers(&[status("v", 1, 1), status("w", 1, 1)]);
    let unread = Unbegun::Unread(Lane::Short);
    workers.failed_to_begin(&"w".into(), &short(), unread, NOW, NOW);
    workers.reads(&"w".into(), &short(), NOW.plus_ms(1));
    assert_eq!(takers(&mut workers, NOW).len(), 4);
}

#[test]
fn what_a_worker_failed_is_forgotten_with_it_and_not_before() {
    let mut workers = rested();
    workers.forget_silent(NOW);
    assert_eq!(takers(&mut workers, NOW), ["v", "v"], "it is still there");
    let mut workers = rested();
    workers.forget_silent(NOW.plus_ms(1));
    for name in ["v", "w"] {
        workers.update(&status(name, 1, 2), NOW);
    }
    assert_eq!(takers(&mut workers, NOW).len(), 4);
}
