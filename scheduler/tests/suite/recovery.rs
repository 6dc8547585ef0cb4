//! A successor knows what its predecessor knew.

use std::collections::BTreeMap;

use relay_runner::Folded;
use relay_scheduler::Config;
use relay_scheduler::core::{At, Core, Input};
use relay_schemas::{Lane, SchedulerSnapshot, Service, TimestampMs};

use crate::records::Spec;
use crate::world::{World, run};

/// A successor on `snapshot` and the whole log, which leads at the present instant.
fn successor(world: &World, snapshot: Option<&SchedulerSnapshot>) -> Core {
    let mut core = Core::new(world.config.clone(), "default", run(Service::Scheduler, "s2", 0));
    let now = world.now();
    if let Some(snapshot) = snapshot {
        core.restore(snapshot);
    }
    for (offset, spec) in world
        .ready_log
        .iter()
        .enumerate()
        .skip(core.reads_from(Input::Ready, 0) as usize)
    {
        core.offer(spec.offer(offset as i64, 0), now);
    }
    for (lane, input) in [(Lane::Short, Input::WorkShort), (Lane::Long, Input::WorkLong)] {
        for (offset, work) in world.work_log[&lane].iter().enumerate() {
            let at = At {
                partition: 0,
                offset: offset as i64,
            };
            core.work(work.clone(), input, at, None, now);
        }
    }
    for (offset, outcome) in world.outcomes.iter().enumerate() {
        core.outcome(
            outcome,
            At {
                partition: 0,
                offset: offset as i64,
            },
        );
    }
    core.lead(9, now);
    core
}

/// Some requests ended, some run (with tokens), some wait.
fn busy_world() -> World {
    let mut world = World::new(Config::default()).with_worker("w", 3, 1);
    for n in 0..10 {
        world.offer(&Spec {
            long: n % 4 == 3,
            ..Spec::new(format!("r{n}"), format!("t{}", n % 2))
        });
    }
    world.dispatch();
    world.produce("w", &"r0".into(), 5);
    world.complete("w", &"r1".into(), 9);
    world.tell("w");
    world.fold();
    world
}

#[test]
fn a_snapshot_and_the_tail_or_the_tail_alone_give_the_same_queues() {
    let mut world = busy_world();
    let snapshot = world.core.snapshot();
    world.dispatch();
    world.offer(&Spec::new("late", "t0"));
    world.cancel("r8", "t0");
    world.complete("w", &"r0".into(), 6);
    world.fold();
    let expected = world.core.counts();
    for (case, snapshot) in [("snapshot", Some(&snapshot)), ("from the start", None)] {
        let core = successor(&world, snapshot);
        let counts = core.counts();
        assert_eq!(counts.running, expected.running, "{case}");
        assert_eq!(
            (counts.waiting_short, counts.waiting_long, counts.waiting_batch),
            (
                expected.waiting_short,
                expected.waiting_long,
                expected.waiting_batch
            ),
            "{case}"
        );
        assert_eq!(
            (counts.prompt_tokens, counts.completion_tokens),
            (expected.prompt_tokens, expected.completion_tokens),
            "{case}"
        );
        assert_eq!(
            core.tenant_tokens(&"t1".into()),
            world.core.tenant_tokens(&"t1".into()),
            "{case}"
        );
    }
}

#[test]
fn a_snapshot_survives_its_own_restoration() {
    let world = busy_world();
    let snapshot = world.core.snapshot();
    let decoded = {
        let record = relay_schemas::SchedulerRecord {
            pool: "default".to_owned(),
            scheduler: "s1".into(),
            scheduler_start: 1,
            kind: relay_schemas::SchedulerRecordKind::Snapshot,
            epoch: 7,
            sent_at: TimestampMs(0),
            snapshot: Some(snapshot.clone()),
        };
        let decoded: relay_schemas::SchedulerRecord =
            relay_schemas::decode(&relay_schemas::encode(&record)).unwrap();
        decoded.snapshot.unwrap()
    };
    assert_eq!(decoded, snapshot);
    let again = successor(&world, Some(&decoded)).snapshot();
    assert_eq!(
        (again.waiting, again.requeued, again.leases),
        (snapshot.waiting, snapshot.requeued, snapshot.leases)
    );
    assert_eq!(again.folded, snapshot.folded);
    let settled = |tenants: &[relay_schemas::TenantCounter]| -> BTreeMap<String, (i64, Vec<i64>)> {
        tenants
            .iter()
            .map(|t| (t.tenant.as_str().to_owned(), (t.counter, t.flows.clone())))
            .collect()
    };
    assert_eq!(settled(&again.tenants), settled(&snapshot.tenants));
}

#[test]
fn work_that_was_not_read_back_waits_in_the_snapshot_and_is_found_in_the_tail() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    let now = world.now();
    world.core.dispatch(now);
    let effects = world.core.effects();
    let snapshot = world.core.snapshot();
    assert_eq!((snapshot.leases.len(), snapshot.waiting.len()), (0, 1));
    assert_eq!(
        successor(&world, Some(&snapshot)).counts().waiting_short,
        1,
        "it never reached the log"
    );
    let relay_scheduler::core::Effect::Dispatch(dispatch) = &effects[0] else {
        panic!("a dispatch")
    };
    world
        .work_log
        .get_mut(&Lane::Short)
        .unwrap()
        .push(dispatch.work.clone());
    assert_eq!(successor(&world, Some(&snapshot)).counts().running, 1, "it did");
}

#[test]
fn a_request_whose_end_is_not_in_the_log_is_still_there_for_the_successor() {
    let mut world = World::new(Config::default());
    world.offer(&Spec::new("a", "t"));
    world.cancel("a", "t");
    let snapshot = world.core.snapshot();
    assert_eq!(snapshot.waiting.len(), 1);
    world.outcomes.clear();
    assert_eq!(successor(&world, Some(&snapshot)).counts().waiting_short, 1);
}

#[test]
fn a_lost_attempt_is_counted_over_a_takeover() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.lose_work("w");
    world.live(2_300);
    assert_eq!(world.core.counts().waiting_short, 1);
    let snapshot = world.core.snapshot();
    let mut core = successor(&world, Some(&snapshot));
    let mut status = crate::records::worker("w2", 1, 1, 0);
    status.seq = 1;
    core.status(&status, world.now());
    core.dispatch(world.now());
    assert_eq!(
        core.lease_of(&"a".into())
            .map(|lease| (lease.attempt, lease.scheduler_epoch)),
        Some((2, 9))
    );
}

#[test]
fn a_lease_of_the_predecessor_is_kept_while_its_worker_shows_it_and_revoked_when_not() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    let snapshot = world.core.snapshot();
    world.core = successor(&world, Some(&snapshot));
    world.live(5_000);
    assert_eq!((world.core.counts().running, world.core.counts().revoked), (1, 0));
    world.workers.get_mut(&"w".into()).unwrap().alive = false;
    world.live(2_200);
    assert_eq!(world.core.counts().revoked, 1);
}

#[test]
fn a_late_work_record_of_an_older_epoch_takes_no_lease_away() {
    let mut world = World::new(Config::default()).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    let mut zombie = world.dispatched[0].clone();
    zombie.lease.scheduler_epoch = 3;
    zombie.lease.worker = "w0".into();
    let now = world.now();
    world.core.work(
        zombie,
        Input::WorkShort,
        At {
            partition: 0,
            offset: 1,
        },
        None,
        now,
    );
    let lease = world.core.lease_of(&"a".into()).unwrap();
    assert_eq!((lease.worker.as_str(), lease.scheduler_epoch), ("w", 7));
}

#[test]
fn a_cancel_heard_before_the_lead_holds_after_it() {
    let mut core = Core::new(Config::default(), "default", run(Service::Scheduler, "s2", 0));
    core.offer(Spec::new("a", "t").offer(0, 0), TimestampMs(0));
    core.cancel(
        &relay_schemas::Cancel {
            request_id: "a".into(),
            tenant: "t".into(),
            reason: "client_gone".to_owned(),
        },
        TimestampMs(0),
    );
    assert!(core.effects().is_empty());
    core.lead(1, TimestampMs(1));
    let ends = core
        .effects()
        .iter()
        .filter(|effect| matches!(effect, relay_scheduler::core::Effect::End(..)))
        .count();
    assert_eq!(ends, 1);
}

/// A successor that leads on the offsets of a snapshot alone would forget all that waits: a clean stop lost requests.
#[test]
fn what_a_snapshot_gives_by_its_position_is_kept_until_it_is_read_again() {
    let world = busy_world();
    let now = world.now();
    let snapshot = world.core.snapshot();
    let mut core = Core::new(world.config.clone(), "default", run(Service::Scheduler, "s2", 0));
    core.restore(&snapshot);
    let end = world.ready_log.len() as i64;
    core.bound(Input::Ready, 0, 0, end);
    assert!(core.reads_from(Input::Ready, 0) < end, "folding is not finished");
    core.lead(9, now);
    let again = core.snapshot();
    assert_eq!(
        (&again.waiting, again.leases.len()),
        (&snapshot.waiting, snapshot.leases.len())
    );
    for (offset, spec) in world.ready_log.iter().enumerate() {
        core.offer(spec.offer(offset as i64, 0), now);
    }
    assert_eq!(core.reads_from(Input::Ready, 0), end);
    let (known, before) = (core.counts(), world.core.counts());
    assert_eq!(
        (known.running, known.waiting_short, known.waiting_long),
        (before.running, before.waiting_short, before.waiting_long)
    );
}
