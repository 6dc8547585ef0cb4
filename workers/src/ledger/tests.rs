use super::*;

const NOW: TimestampMs = TimestampMs(1_000);

fn lease(worker: &str, worker_epoch: i64, attempt: u32, scheduler_epoch: i64) -> Lease {
    Lease {
        worker: worker.into(),
        worker_epoch,
        attempt,
        scheduler_epoch,
        granted_at: NOW,
    }
}

fn ledger() -> Ledger<u32> {
    let remembered = Remembered {
        done: 10,
        done_ms: 1_000,
        cancels: 10,
        cancels_ms: 1_000,
    };
    Ledger::new("w".into(), 7, remembered)
}

const RUN: Admission = Admission::Run { cancelled: false };

fn admit(ledger: &mut Ledger<u32>, lease: &Lease) -> Admission {
    ledger.admit(&"r".into(), lease, Lane::Short, lease.attempt, NOW)
}

#[test]
fn only_work_that_names_this_life_of_this_instance_is_run() {
    let mut ledger = ledger();
    assert_eq!(
        admit(&mut ledger, &lease("other", 7, 1, 5)),
        Admission::Skip(Skip::NotOurs)
    );
    assert_eq!(
        admit(&mut ledger, &lease("w", 6, 1, 5)),
        Admission::Skip(Skip::NotOurs)
    );
    assert_eq!(admit(&mut ledger, &lease("w", 7, 1, 5)), RUN);
}

#[test]
fn a_scheduler_that_was_overtaken_is_refused_even_by_a_foreign_record_it_may_not_overtake() {
    let mut ledger = ledger();
    assert_eq!(
        admit(&mut ledger, &lease("other", 7, 1, 9)),
        Admission::Skip(Skip::NotOurs)
    );
    assert_eq!(admit(&mut ledger, &lease("w", 7, 1, 5)), RUN);
    assert_eq!(admit(&mut ledger, &lease("w", 7, 2, 6)), RUN);
    assert_eq!(
        admit(&mut ledger, &lease("w", 7, 3, 5)),
        Admission::Skip(Skip::OldScheduler)
    );
}

#[test]
fn a_record_delivered_again_never_runs_twice() {
    let mut ledger = ledger();
    let lease = lease("w", 7, 1, 5);
    assert_eq!(admit(&mut ledger, &lease), RUN);
    assert_eq!(admit(&mut ledger, &lease), Admission::Skip(Skip::Held));
    assert_eq!(ledger.lanes(), (1, 0));
    assert_eq!(ledger.in_flight(|_| 3)[0].tokens, TokenCount(3));
    ledger.release(&("r".into(), 1), NOW);
    assert_eq!(admit(&mut ledger, &lease), Admission::Skip(Skip::Done));
    assert_eq!(ledger.lanes(), (0, 0));
}

#[test]
fn a_cancel_reaches_every_attempt_that_is_held() {
    let mut ledger = ledger();
    for attempt in 1..=3 {
        assert_eq!(admit(&mut ledger, &lease("w", 7, attempt, 5)), RUN);
    }
    ledger.release(&("r".into(), 1), NOW);
    let mut reached: Vec<u32> = ledger.cancel(&"r".into(), NOW).copied().collect();
    reached.sort_unstable();
    assert_eq!(reached, [2, 3]);
    assert_eq!(ledger.cancel(&"s".into(), NOW).count(), 0);
}

#[test]
fn a_cancel_reaches_nothing_of_the_requests_beside_it_in_the_books() {
    let mut ledger = ledger();
    for request in ["q", "r", "r2", "s"] {
        for attempt in [0, 1, u32::MAX] {
            let lease = lease("w", 7, attempt, 5);
            let run = ledger.admit(&request.into(), &lease, Lane::Short, attempt, NOW);
            assert_eq!(run, RUN);
        }
    }
    let reached: Vec<u32> = ledger.cancel(&"r".into(), NOW).copied().collect();
    assert_eq!(reached, [0, 1, u32::MAX]);
}

/// By reading: one that came after its worker had looked for cancels and before it was in the books waited for its repetition.
#[test]
fn a_cancel_meets_its_request_whichever_comes_first() {
    let mut ledger = ledger();
    let lease = lease("w", 7, 1, 5);
    assert_eq!(ledger.cancel(&"r".into(), NOW).count(), 0);
    assert_eq!(admit(&mut ledger, &lease), Admission::Run { cancelled: true });
    assert_eq!(ledger.cancel(&"r".into(), NOW).count(), 1);
}

/// By reading: after a rebalance everything behind a long run is read again, also what ended long ago.
#[test]
fn what_ended_while_something_older_runs_is_known_as_done_however_long_ago() {
    let mut ledger = ledger();
    let (long, short) = (lease("w", 7, 1, 5), lease("w", 7, 2, 5));
    let (first, later) = (NOW.plus_ms(1), NOW.plus_ms(3_600_000));
    let request = RequestId::from("r");
    assert_eq!(admit(&mut ledger, &long), RUN);
    assert_eq!(ledger.admit(&request, &short, Lane::Short, 2, first), RUN);
    ledger.release(&(request.clone(), 2), first);
    for nth in 3..9 {
        let other = lease("w", 7, nth, 5);
        assert_eq!(ledger.admit(&request, &other, Lane::Short, nth, later), RUN);
        ledger.release(&(request.clone(), nth), later);
    }
    let again = ledger.admit(&request, &short, Lane::Short, 2, later);
    assert_eq!(again, Admission::Skip(Skip::Done));
    ledger.release(&(request.clone(), 1), later);
    let again = ledger.admit(&request, &long, Lane::Short, 1, later);
    assert_eq!(again, Admission::Skip(Skip::Done), "it has only just ended");
}

/// By reading: after a stall a worker ran each copy of a request that it had been leased meanwhile, one after the other.
#[test]
fn what_is_no_longer_its_lease_is_not_run_however_late_it_is_read() {
    let mut ledger = ledger();
    let request = RequestId::from("r");
    ledger.revoke(&request, 2, 5, NOW);
    let revoked = Admission::Skip(Skip::Revoked);
    let late = [1, 2, 3].map(|nth| admit(&mut ledger, &lease("w", 7, nth, 5)));
    assert_eq!(late, [revoked, Admission::Skip(Skip::Revoked), RUN]);
    let other = RequestId::from("s");
    let admit =
        |ledger: &mut Ledger<u32>, nth| ledger.admit(&other, &lease("w", 7, nth, 5), Lane::Short, nth, NOW);
    assert_eq!(admit(&mut ledger, 4), RUN);
    assert_eq!(
        admit(&mut ledger, 3),
        Admission::Skip(Skip::Revoked),
        "its partition was read later"
    );
}

#[test]
fn what_runs_is_not_revoked_and_an_overtaken_scheduler_revokes_nothing() {
    let mut ledger = ledger();
    assert_eq!(admit(&mut ledger, &lease("w", 7, 1, 5)), RUN);
    ledger.revoke(&"r".into(), 1, 5, NOW);
    assert_eq!(ledger.in_flight(|_| 0).len(), 1);
    ledger.revoke(&"r".into(), 2, 4, NOW);
    assert_eq!(admit(&mut ledger, &lease("w", 7, 2, 5)), RUN);
}

/// An id is taken anew after an end that was not charged, and its attempts begin with one again.
#[test]
fn another_lease_under_the_number_of_one_that_was_run_is_told_apart_from_the_same_record_again() {
    let mut ledger = ledger();
    let first = lease("w", 7, 1, 5);
    assert_eq!(admit(&mut ledger, &first), RUN);
    ledger.release(&("r".into(), 1), NOW);
    let anew = Lease {
        granted_at: NOW.plus_ms(1),
        ..first.clone()
    };
    let skips = [&first, &anew].map(|lease| admit(&mut ledger, lease));
    assert_eq!(
        skips,
        [Skip::Done, Skip::DoneBefore].map(Admission::Skip),
        "the scheduler waits for the second"
    );
    assert_eq!([Skip::Done, Skip::DoneBefore].map(Skip::is_told), [false, true]);
}

#[test]
fn an_overtaken_scheduler_is_news_once() {
    let mut ledger = ledger();
    assert_eq!([3, 3, 4].map(|epoch| ledger.is_news(epoch)), [true, false, true]);
}
