//! The rules, one by one.

use std::sync::Arc;

use relay_scheduler::{Config, Fairness, Leases, Limits};
use relay_schemas::{Class, FenceAnswer, OutcomeStatus};

use crate::records::Spec;
use crate::world::World;

fn world() -> World {
    World::new(Config::default())
}

fn ended(world: &World, id: &str) -> (OutcomeStatus, String) {
    let outcome = world.outcome(id).unwrap_or_else(|| panic!("{id} has not ended"));
    (outcome.status, outcome.code.clone().unwrap_or_default())
}

#[test]
fn nothing_is_dispatched_without_credit_and_all_of_it_with() {
    let mut world = world();
    for id in ["a", "b", "c"] {
        world.offer(&Spec::new(id, "t"));
    }
    world.dispatch();
    assert!(world.dispatched.is_empty());
    let mut world = world.with_worker("w", 2, 0);
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a", "b"]);
    let lease = &world.dispatched[0].lease;
    assert_eq!(
        (
            lease.worker.as_str(),
            lease.worker_epoch,
            lease.attempt,
            lease.scheduler_epoch
        ),
        ("w", 1, 1, 7)
    );
    world.complete("w", &"a".into(), 3);
    world.fold();
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a", "b", "c"]);
}

#[test]
fn a_request_goes_only_to_a_worker_of_its_lane_and_model_that_is_fresh_and_not_draining() {
    type Change = fn(&mut World);
    let cases: [(&str, Change, bool); 6] = [
        ("as it should be", |_| {}, true),
        (
            "no slot in the lane",
            |world| world.workers.get_mut(&"w".into()).unwrap().status.short_slots = 0,
            false,
        ),
        (
            "no partition of the lane",
            |world| {
                world
                    .workers
                    .get_mut(&"w".into())
                    .unwrap()
                    .status
                    .short_partitions
                    .clear();
            },
            false,
        ),
        (
            "another model",
            |world| world.workers.get_mut(&"w".into()).unwrap().status.models = vec!["n".to_owned()],
            false,
        ),
        (
            "draining",
            |world| world.workers.get_mut(&"w".into()).unwrap().status.draining = true,
            false,
        ),
        (
            "another pool",
            |world| world.workers.get_mut(&"w".into()).unwrap().status.pool = "other".to_owned(),
            true,
        ),
    ];
    for (case, change, expected) in cases {
        let mut world = world().with_worker("w", 1, 1);
        change(&mut world);
        world.tell("w");
        world.offer(&Spec::new("a", "t"));
        world.dispatch();
        assert_eq!(world.dispatched.len() == 1, expected, "{case}");
    }
    let mut stale = world().with_worker("w", 1, 1);
    stale.pass(1_001);
    stale.offer(&Spec::new("a", "t"));
    stale.dispatch();
    assert!(stale.dispatched.is_empty());
}

#[test]
fn what_a_worker_holds_of_others_takes_its_slots() {
    let mut world = world().with_worker("w", 2, 0);
    let foreign = relay_schemas::InFlight {
        request_id: "x".into(),
        attempt: 1,
        scheduler_epoch: 3,
        tokens: relay_schemas::TokenCount(0),
    };
    world
        .workers
        .get_mut(&"w".into())
        .unwrap()
        .status
        .in_flight
        .push(foreign);
    world.tell("w");
    for id in ["a", "b"] {
        world.offer(&Spec::new(id, "t"));
    }
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a"]);
}

#[test]
fn a_lane_without_credit_does_not_hold_the_other_up() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec {
        long: true,
        ..Spec::new("long", "t")
    });
    world.offer(&Spec::new("short", "t"));
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["short"]);
}

#[test]
fn the_tenant_that_was_charged_least_comes_next_and_round_robin_takes_turns() {
    let cases = [
        (
            Fairness::Vtc,
            ["heavy-0", "light-0", "light-1", "light-2", "light-3"],
        ),
        (
            Fairness::RoundRobin,
            ["heavy-0", "light-0", "heavy-1", "light-1", "heavy-2"],
        ),
    ];
    for (fairness, expected) in cases {
        let config = Config {
            fairness,
            ..Config::default()
        };
        let mut world = World::new(config).with_worker("w", 1, 0);
        for n in 0..5 {
            world.offer(&Spec {
                prompt: 100,
                ..Spec::new(format!("heavy-{n}"), "heavy")
            });
            world.offer(&Spec {
                prompt: 10,
                ..Spec::new(format!("light-{n}"), "light")
            });
        }
        for _ in 0..5 {
            world.dispatch();
            let running = world.dispatched.last().unwrap().request.request_id.clone();
            world.complete("w", &running, 0);
            world.fold();
        }
        assert_eq!(world.ids_dispatched(), expected, "{fairness:?}");
    }
}

#[test]
fn a_tenant_with_a_double_share_gets_double() {
    let mut config = Config::default();
    config.weights.tenants.insert("double".to_owned(), 200);
    let mut world = World::new(config).with_worker("w", 1, 0);
    for n in 0..30 {
        world.offer(&Spec::new(format!("d{n}"), "double"));
        world.offer(&Spec::new(format!("s{n}"), "single"));
    }
    for _ in 0..30 {
        world.dispatch();
        let running = world.dispatched.last().unwrap().request.request_id.clone();
        world.complete("w", &running, 5);
        world.fold();
    }
    let double = world
        .ids_dispatched()
        .iter()
        .filter(|id| id.starts_with('d'))
        .count();
    assert_eq!(double, 20);
}

#[test]
fn a_tenant_that_was_away_does_not_get_what_it_missed() {
    let mut world = world().with_worker("w", 1, 0);
    for n in 0..50 {
        world.offer(&Spec::new(format!("busy-{n}"), "busy"));
    }
    let serve = |world: &mut World| {
        world.dispatch();
        let running = world.dispatched.last().unwrap().request.request_id.clone();
        world.complete("w", &running, 10);
        world.fold();
    };
    for _ in 0..20 {
        serve(&mut world);
    }
    for n in 0..20 {
        world.offer(&Spec::new(format!("away-{n}"), "away"));
    }
    for _ in 0..20 {
        serve(&mut world);
    }
    let away = world.ids_dispatched()[20..]
        .iter()
        .filter(|id| id.starts_with("away"))
        .count();
    assert!((9..=11).contains(&away), "{away} of 20");
}

#[test]
fn batch_gets_a_quarter_of_its_tenant_beside_the_short_lane() {
    let mut world = world().with_worker("w", 1, 0);
    for n in 0..60 {
        world.offer(&Spec::new(format!("i{n}"), "t"));
        world.offer(&Spec {
            class: Class::Batch,
            ..Spec::new(format!("b{n}"), "t")
        });
    }
    for _ in 0..50 {
        world.dispatch();
        let running = world.dispatched.last().unwrap().request.request_id.clone();
        world.complete("w", &running, 10);
        world.fold();
    }
    let batch = world
        .ids_dispatched()
        .iter()
        .filter(|id| id.starts_with('b'))
        .count();
    assert_eq!(batch, 10);
}

#[test]
fn a_full_queue_rejects_interactive_requests_and_queues_batch() {
    let config = Config {
        limits: Limits {
            max_waiting: 3,
            max_waiting_per_tenant: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config);
    for (id, tenant) in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")] {
        world.offer(&Spec::new(id, tenant));
    }
    world.offer(&Spec {
        class: Class::Batch,
        ..Spec::new("c1", "c")
    });
    assert_eq!(
        ended(&world, "a3"),
        (OutcomeStatus::Rejected, "tenant_queue_full".to_owned())
    );
    assert_eq!(
        ended(&world, "b2"),
        (OutcomeStatus::Rejected, "queue_full".to_owned())
    );
    assert!(
        world
            .outcome("a3")
            .unwrap()
            .retry_after_ms
            .is_some_and(|ms| ms > 0)
    );
    assert_eq!(world.outcomes.len(), 2);
    let status = world.core.pool_status(world.now());
    assert_eq!((status.waiting_interactive, status.waiting_batch), (3, 1));
}

#[test]
fn a_request_whose_deadline_passes_in_the_queue_expires() {
    let mut world = world();
    world.offer(&Spec {
        deadline: 500,
        ..Spec::new("a", "t")
    });
    world.pass(499);
    assert!(world.outcomes.is_empty());
    assert!(world.core.next_wakeup().unwrap() <= relay_schemas::TimestampMs(500));
    world.pass(1);
    assert_eq!(
        ended(&world, "a"),
        (OutcomeStatus::Expired, "deadline_exceeded".to_owned())
    );
    world.offer(&Spec {
        deadline: 500,
        ..Spec::new("late", "t")
    });
    assert_eq!(
        ended(&world, "late"),
        (OutcomeStatus::Expired, "deadline_exceeded".to_owned())
    );
}

#[test]
fn a_cancel_ends_what_waits_and_leaves_what_runs_to_its_worker() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("runs", "t"));
    world.offer(&Spec::new("waits", "t"));
    world.dispatch();
    world.cancel("runs", "t");
    world.cancel("waits", "another tenant");
    assert!(world.outcomes.is_empty());
    world.cancel("waits", "t");
    assert_eq!(
        ended(&world, "waits"),
        (OutcomeStatus::Cancelled, "cancelled".to_owned())
    );
    assert_eq!(world.outcomes.len(), 1);
}

#[test]
fn a_cancel_that_overtakes_its_request_holds() {
    let mut world = world();
    world.cancel("a", "t");
    world.offer(&Spec::new("a", "t"));
    assert_eq!(
        ended(&world, "a"),
        (OutcomeStatus::Cancelled, "cancelled".to_owned())
    );
}

#[test]
fn a_known_or_ended_request_that_is_offered_again_is_dropped() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.offer(&Spec::new("a", "t"));
    world.complete("w", &"a".into(), 3);
    world.fold();
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    assert_eq!(world.ids_dispatched(), ["a"]);
    assert_eq!(world.core.counts().duplicates, 3);
}

#[test]
fn an_offer_that_comes_again_brings_its_new_reply_address() {
    let mut world = world();
    world.offer(&Spec::new("a", "t"));
    let mut again = Spec::new("a", "t").offer(1, 0);
    Arc::make_mut(&mut again.ready.request).reply_to = Some("relay.reply.i2-9.a".to_owned());
    let now = world.now();
    world.core.offer(again, now);
    let mut world = world.with_worker("w", 1, 0);
    world.dispatch();
    let reply_to = world.dispatched[0].request.reply_to.as_deref();
    assert_eq!(reply_to, Some("relay.reply.i2-9.a"));
}

#[test]
fn an_offer_of_another_body_under_the_same_key_is_answered_nothing_and_not_read_instead() {
    let mut world = world();
    let first = Spec::new("a", "t").offer(0, 0);
    let (at, reply_to) = (first.at, first.ready.request.reply_to.clone());
    let now = world.now();
    world.core.offer(first, now);
    let mut other = Spec::new("a", "t").offer(1, 0);
    let request = Arc::make_mut(&mut other.ready.request);
    request.reply_to = Some("relay.reply.i2-9.a".to_owned());
    "another".clone_into(&mut request.request_hash);
    world.core.offer(other, now);
    assert_eq!(
        world.core.snapshot().waiting[0].first,
        at.offset,
        "where its body lies"
    );
    let mut world = world.with_worker("w", 1, 0);
    world.dispatch();
    assert_eq!(world.dispatched[0].request.reply_to, reply_to);
}

#[test]
fn the_first_outcome_wins_and_later_ones_are_counted() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.complete("w", &"a".into(), 3);
    let mut second = world.outcomes[0].clone();
    second.usage.completion_tokens.0 = 100;
    world.outcomes.push(second);
    world.fold();
    assert_eq!(world.core.tenant_tokens(&"t".into()), (10, 3));
    assert_eq!(world.core.counts().superseded, 1);
}

#[test]
fn a_lost_worker_costs_an_attempt_or_the_request() {
    let saw = |known, saw_token| Some(FenceAnswer { known, saw_token });
    let again = None;
    let lost = Some((OutcomeStatus::Failed, "worker_lost"));
    // streamed, what the ingress says → how it ends, if it does
    let cases = [
        (true, saw(true, false), again),
        (true, saw(true, true), lost),
        (true, saw(false, false), lost),
        (true, None, lost),
        (false, saw(true, false), again),
        (false, None, again),
    ];
    for (stream, fence, expected) in cases {
        let mut world = world().with_worker("w1", 1, 0);
        world.fence = fence;
        world.offer(&Spec {
            stream,
            ..Spec::new("a", "t")
        });
        world.dispatch();
        world.produce("w1", &"a".into(), 4);
        world.tell("w1");
        world.workers.get_mut(&"w1".into()).unwrap().alive = false;
        let mut world = world.with_worker("w2", 1, 0);
        world.live(1_900);
        assert!(world.fenced.is_empty(), "not before two seconds");
        world.live(300);
        world.dispatch();
        assert_eq!(world.fenced.len(), 1);
        let end = world
            .outcome("a")
            .map(|outcome| (outcome.status, outcome.code.as_deref().unwrap()));
        assert_eq!(end, expected, "streamed {stream}, {fence:?}");
        if end.is_some() {
            let outcome = world.outcome("a").unwrap();
            assert_eq!((outcome.usage.completion_tokens.0, outcome.run.attempt), (4, 1));
        } else {
            let attempts: Vec<u32> = world.dispatched.iter().map(|work| work.lease.attempt).collect();
            assert_eq!(attempts, [1, 2]);
        }
    }
}

#[test]
fn a_batch_request_runs_again_without_a_question() {
    let mut world = world().with_worker("w1", 1, 0);
    world.offer(&Spec {
        class: Class::Batch,
        ..Spec::new("a", "t")
    });
    world.dispatch();
    world.workers.get_mut(&"w1".into()).unwrap().alive = false;
    let mut world = world.with_worker("w2", 1, 0);
    world.live(2_200);
    world.dispatch();
    assert_eq!((world.fenced.len(), world.dispatched.len()), (0, 2));
}

#[test]
fn a_worker_that_was_started_again_has_lost_its_leases_at_once() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    let worker = world.workers.get_mut(&"w".into()).unwrap();
    worker.status.epoch = 2;
    worker.status.in_flight.clear();
    world.tell("w");
    world.dispatch();
    let epochs: Vec<i64> = world
        .dispatched
        .iter()
        .map(|work| work.lease.worker_epoch)
        .collect();
    assert_eq!(epochs, [1, 2]);
}

#[test]
fn a_request_that_a_living_worker_does_not_show_is_revoked_too() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.lose_work("w");
    world.live(2_200);
    assert_eq!(world.core.counts().revoked, 1);
}

#[test]
fn an_outcome_that_lies_in_the_log_already_settles_the_doubt() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    world.complete("w", &"a".into(), 3);
    world.workers.get_mut(&"w".into()).unwrap().alive = false;
    world.live(2_500);
    assert_eq!(
        (
            world.fenced.len(),
            world.outcomes.len(),
            world.core.counts().running
        ),
        (0, 1, 0)
    );
}

#[test]
fn a_worker_that_comes_back_before_the_fence_keeps_its_lease() {
    let mut world = world().with_worker("w", 1, 0);
    world.settle_at_once = false;
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    for _ in 0..25 {
        world.pass(100);
    }
    assert_eq!(world.doubts.len(), 1);
    world.tell("w");
    let doubts = world.doubts.remove(0);
    let now = world.now();
    world.core.settled(&doubts, now);
    world.perform();
    assert_eq!((world.fenced.len(), world.core.counts().running), (0, 1));
}

#[test]
fn attempts_are_bounded() {
    let config = Config {
        leases: Leases {
            max_attempts: 2,
            ..Leases::default()
        },
        ..Config::default()
    };
    let mut world = World::new(config).with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    for _ in 0..2 {
        world.dispatch();
        world.lose_work("w");
        world.live(2_200);
    }
    assert_eq!(
        ended(&world, "a"),
        (OutcomeStatus::Failed, "worker_lost".to_owned())
    );
    assert_eq!(world.dispatched.len(), 2);
}

#[test]
fn a_cancelled_or_late_request_does_not_run_again() {
    let cases = [
        (true, 1_000_000, OutcomeStatus::Cancelled),
        (false, 1_500, OutcomeStatus::Expired),
    ];
    for (cancelled, deadline, expected) in cases {
        let mut world = world().with_worker("w", 1, 0);
        world.offer(&Spec {
            deadline,
            ..Spec::new("a", "t")
        });
        world.dispatch();
        if cancelled {
            world.cancel("a", "t");
        }
        world.workers.get_mut(&"w".into()).unwrap().alive = false;
        world.live(2_500);
        assert_eq!(ended(&world, "a").0, expected);
    }
}

#[test]
fn a_lease_that_is_not_acknowledged_is_not_revoked() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    let now = world.now();
    world.core.dispatch(now);
    let lost: Vec<_> = world.core.effects();
    assert_eq!(lost.len(), 1);
    world.pass(60_000);
    assert_eq!((world.core.counts().running, world.core.counts().revoked), (1, 0));
}

#[test]
fn work_that_fits_nowhere_fails_its_request() {
    let mut world = world().with_worker("w", 1, 0);
    world.offer(&Spec::new("a", "t"));
    world.dispatch();
    let attempt = relay_scheduler::core::Attempt {
        request_id: "a".into(),
        attempt: 1,
    };
    let now = world.now();
    world.core.undispatchable(&attempt, "too large", now);
    world.perform();
    assert_eq!(
        ended(&world, "a"),
        (OutcomeStatus::Failed, "dead_letter".to_owned())
    );
}
