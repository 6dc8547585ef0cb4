//! What a takeover asks of the core, and what it makes of records that are damaged, late or already known.

use relay_bus::topics;
use relay_lifecycle::{Ending, Known, end};
use relay_runner::{Folded, RECORD_DAMAGED};
use relay_scheduler::Config;
use relay_scheduler::core::{At, Core, Effect, Ends, Input};
use relay_schemas::{Outcome, OutcomeStatus, Service, TimestampMs, Work};

use crate::records::Spec;
use crate::world::{World, run};

const NOW: TimestampMs = TimestampMs(0);

fn at(offset: i64) -> At {
    At { partition: 0, offset }
}

fn core() -> Core {
    Core::new(Config::default(), "default", run(Service::Scheduler, "s2", 0))
}

/// One request `a` of `t` runs on `w`.
fn running() -> World {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world
}

/// A work record of `a`, under another attempt of another scheduler.
fn work(attempt: u32, epoch: i64) -> Work {
    let mut work = running().dispatched[0].clone();
    (work.lease.attempt, work.lease.scheduler_epoch) = (attempt, epoch);
    work
}

fn outcome_of(work: &Work) -> Outcome {
    let ending = Ending::of(OutcomeStatus::Completed);
    end(Known::Work(work), run(Service::Workers, "w", 1), ending, NOW)
}

/// Who ended what, as the effects say it.
fn ended(core: &mut Core) -> Vec<(String, u32, Option<String>)> {
    let ends = core.effects().into_iter().filter_map(|effect| match effect {
        Effect::End(outcome, _) => Some(outcome),
        _ => None,
    });
    ends.map(|outcome| {
        let id = outcome.request_id.as_str().to_owned();
        (id, outcome.run.attempt, outcome.code)
    })
    .collect()
}

#[test]
fn each_input_has_its_topic_and_is_read_from_where_it_was_folded_to_and_outcomes_from_a_little_before() {
    let mut core = core();
    let told = Input::ALL.map(|input| core.topic(input));
    let expected = [
        topics::ready("default"),
        topics::work_short("default"),
        topics::work_long("default"),
        topics::OUTCOMES.to_owned(),
    ];
    assert_eq!(told, expected);
    for input in Input::ALL {
        core.bound(input, 0, 5_000, 9_000);
        assert_eq!(
            core.offsets().next(input, 0),
            5_000,
            "{input:?}: the log holds no less"
        );
    }
    let from = Input::ALL.map(|input| core.reads_from(input, 0));
    assert_eq!(from, [5_000, 5_000, 5_000, 4_000]);
}

#[test]
fn it_has_folded_all_once_it_lacks_nothing_of_what_lay_there_at_the_election() {
    let mut core = core();
    let mut ends = Ends::default();
    ends.add(Input::Ready, 0, 1);
    ends.add(Input::Outcomes, 0, 1);
    assert_eq!(core.lacks(&ends), Some((Input::Ready, at(0))));
    assert!(!core.has_folded_work(&ends) && !core.has_folded(&ends));
    core.offer(Spec::new("a", "t").offer(0, 0), NOW);
    assert_eq!(core.lacks(&ends), Some((Input::Outcomes, at(0))));
    assert!(core.has_folded_work(&ends) && !core.has_folded(&ends));
    core.outcome(&outcome_of(&work(1, 7)), at(0));
    assert_eq!(core.lacks(&ends), None);
    assert!(core.has_folded(&ends));
}

#[test]
fn a_request_is_known_from_its_offer_on_and_after_its_end() {
    let mut core = core();
    let id = "a".into();
    assert!(core.wants(at(0)) && !core.knows(&id));
    core.offer(Spec::new("a", "t").offer(0, 0), NOW);
    assert!(!core.wants(at(0)) && core.knows(&id));
    core.outcome(&outcome_of(&work(1, 7)), at(0));
    assert!(core.knows(&id));
    assert_eq!(core.counts().waiting_short, 0);
}

#[test]
fn a_record_that_cannot_be_read_is_folded_and_changes_nothing() {
    let mut core = core();
    for input in Input::ALL {
        assert!(!core.skip(input, at(3)), "{input:?}");
        let folded = Input::ALL.map(|input| core.offsets().next(input, 0));
        assert_eq!(
            folded.iter().filter(|next| **next == 4).count(),
            input as usize + 1
        );
    }
    assert_eq!(core.counts(), self::core().counts());
}

#[test]
fn a_lease_whose_offer_is_damaged_or_gone_is_ended_by_its_leader_once_unless_it_has_ended() {
    type Lose = fn(&mut Core);
    let snapshot = running().core.snapshot();
    let cases: [(&str, Lose, &[&str]); 4] = [
        (
            "damaged",
            |core| assert!(core.skip(Input::Ready, at(0))),
            &[RECORD_DAMAGED],
        ),
        ("read past", |core| assert!(core.wants(at(1))), &["worker_lost"]),
        (
            "cut off",
            |core| core.bound(Input::Ready, 0, 1, 1),
            &["worker_lost"],
        ),
        (
            "ended",
            |core| {
                assert!(core.skip(Input::Ready, at(0)));
                core.outcome(&outcome_of(&work(1, 7)), at(0));
            },
            &[],
        ),
    ];
    for (case, lose, codes) in cases {
        let mut core = core();
        core.restore(&snapshot);
        lose(&mut core);
        assert!(ended(&mut core).is_empty(), "{case}: it does not lead");
        core.lead(9, NOW);
        let expected = codes
            .iter()
            .map(|code| ("a".to_owned(), 1, Some((*code).to_owned())));
        assert_eq!(ended(&mut core), expected.collect::<Vec<_>>(), "{case}");
        core.tick(NOW.plus_ms(1));
        assert!(ended(&mut core).is_empty(), "{case}: once");
    }
}

#[test]
fn an_offset_at_which_a_lease_is_expected_and_another_request_lies_brings_that_one_as_new() {
    let mut core = core();
    core.restore(&running().core.snapshot());
    core.offer(Spec::new("b", "t").offer(0, 0), NOW);
    assert!(core.lease_of(&"b".into()).is_none());
    assert_eq!((core.counts().waiting_short, core.counts().running), (1, 0));
}

#[test]
fn a_work_record_counts_a_little_more_than_its_text_where_its_offer_is_not_known() {
    let mut core = core();
    core.work(work(1, 7), Input::WorkShort, at(0), None, NOW);
    assert_eq!((core.counts().running, core.counts().body_bytes), (1, 2 + 1_024));
}

#[test]
fn a_work_record_of_what_has_ended_or_was_read_before_starts_nothing() {
    let mut core = core();
    let record = work(1, 7);
    core.outcome(&outcome_of(&record), at(0));
    core.work(record.clone(), Input::WorkShort, at(0), None, NOW);
    assert!(!core.is_open(&"a".into()));
    let mut core = self::core();
    core.bound(Input::WorkShort, 0, 1, 9);
    core.work(record, Input::WorkShort, at(0), None, NOW);
    assert!(!core.is_open(&"a".into()), "it lies before the snapshot");
}

#[test]
fn of_two_work_records_the_later_attempt_holds_then_the_later_scheduler_then_the_first() {
    let cases = [
        ((1, 7), (2, 7), (2, 7)),
        ((2, 7), (1, 9), (2, 7)),
        ((1, 7), (1, 9), (1, 9)),
        ((1, 9), (1, 7), (1, 9)),
    ];
    let known = |core: &Core| {
        let lease = core.lease_of(&"a".into()).unwrap();
        (
            lease.attempt,
            lease.scheduler_epoch,
            lease.worker.as_str().to_owned(),
        )
    };
    for (first, second, expected) in cases {
        let mut core = core();
        for (offset, (attempt, epoch)) in (0..).zip([first, second]) {
            core.work(work(attempt, epoch), Input::WorkShort, at(offset), None, NOW);
        }
        let (attempt, epoch) = expected;
        assert_eq!(
            known(&core),
            (attempt, epoch, "w".to_owned()),
            "{first:?}, {second:?}"
        );
        assert_eq!(core.counts().running, 1);
    }
    let mut core = core();
    core.work(work(1, 7), Input::WorkShort, at(0), None, NOW);
    let mut same = work(1, 7);
    same.lease.worker = "v".into();
    core.work(same, Input::WorkShort, at(1), None, NOW);
    assert_eq!(known(&core), (1, 7, "w".to_owned()), "it is no later one");
}

#[test]
fn the_header_of_ones_own_work_record_is_enough_and_that_of_anothers_is_not() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.core.dispatch(NOW);
    let id = "a".into();
    for (attempt, epoch) in [(1, 6), (2, 7)] {
        assert!(
            !world
                .core
                .work_read_back(&id, attempt, epoch, Input::WorkShort, at(0))
        );
    }
    assert_eq!(
        world.core.offsets().next(Input::WorkShort, 0),
        0,
        "its body is still to be read"
    );
    assert!(world.core.snapshot().leases.is_empty());
    assert!(world.core.work_read_back(&id, 1, 7, Input::WorkShort, at(0)));
    assert_eq!(world.core.offsets().next(Input::WorkShort, 0), 1);
    assert_eq!(world.core.snapshot().leases.len(), 1);
}

#[test]
fn a_new_leader_waits_the_whole_grace_for_workers_whatever_it_knew_before() {
    let mut core = core();
    core.seam_works(NOW);
    core.offer(Spec::new("a", "t").offer(0, 0), NOW);
    let lead_at = TimestampMs(50_000);
    core.lead(9, lead_at);
    core.tick(lead_at.plus_ms(9_900));
    assert!(ended(&mut core).is_empty());
    core.tick(lead_at.plus_ms(10_100));
    assert_eq!(
        ended(&mut core),
        [("a".to_owned(), 0, Some("no_worker".to_owned()))]
    );
}

#[test]
fn an_outcome_that_nothing_was_known_of_changes_what_a_snapshot_would_say() {
    let mut core = core();
    for (offset, id) in [(0, "b"), (1, "c")] {
        core.offer(Spec::new(id, "t").offer(offset, 0), NOW);
    }
    let before = core.counts().changes;
    let mut outcome = outcome_of(&work(1, 7));
    outcome.usage.completion_tokens.0 = 5;
    core.outcome(&outcome, at(0));
    assert_eq!(core.counts().changes, before + 1);
    assert_eq!(core.counters(), [("t".to_owned(), 10_000)]);
}

#[test]
fn an_end_that_lies_before_the_snapshot_ends_what_was_offered_again_and_charges_nothing() {
    let mut core = core();
    core.bound(Input::Outcomes, 0, 5, 9);
    core.offer(Spec::new("a", "t").offer(0, 0), NOW);
    let mut outcome = outcome_of(&work(1, 7));
    outcome.usage.completion_tokens.0 = 5;
    for id in ["b", "a"] {
        outcome.request_id = id.into();
        core.outcome(&outcome, at(3));
    }
    assert!(!core.is_open(&"a".into()));
    assert_eq!(core.counts().duplicates, 1, "nothing was offered of `b`");
    assert_eq!(core.counters(), [("t".to_owned(), 0)]);
}

#[test]
fn a_lease_that_somebody_else_granted_is_doubted_in_its_time_whenever_its_record_is_read() {
    let mut core = core();
    core.lead(9, NOW);
    core.work(work(1, 7), Input::WorkShort, at(0), None, NOW);
    let doubts = |core: &mut Core, ms| {
        core.tick(NOW.plus_ms(ms));
        let effects = core.effects();
        effects.iter().any(|effect| matches!(effect, Effect::Settle(_)))
    };
    assert!(
        !doubts(&mut core, 1_900),
        "its worker has its whole term to show it"
    );
    assert!(doubts(&mut core, 2_000));
}
