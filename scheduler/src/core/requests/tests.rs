use std::sync::Arc;

use relay_clock::Timeline;
use relay_schemas::Lane::{Long, Short};
use relay_schemas::{Class, Lease, Queueing};

use super::*;
use crate::core::queues::{Route, TenantIx};
use crate::records::{Spec, worker};

/// Leases that were not seen for two seconds.
fn unseen(requests: &Requests, now: TimestampMs) -> Vec<Ticket> {
    requests.lost(|_, leased| now.since_ms(leased.seen_at) >= 2_000)
}

type Change = fn(&mut Requests, Ticket);

const TENANT: TenantIx = 3;
const NOW: TimestampMs = TimestampMs(1_000);

fn insert(requests: &mut Requests, spec: &Spec) -> Ticket {
    let offer = spec.offer(4, 100);
    let key = QueueKey {
        tenant: TENANT,
        flow: flow(offer.ready.request.class, lane(&offer.ready)),
        route: route(&offer.ready, "default"),
    };
    requests.insert(offer.arrive(&Timeline::default(), NOW), key, true)
}

fn attempt(id: &str, attempt: u32) -> Attempt {
    Attempt {
        request_id: id.into(),
        attempt,
    }
}

fn granted(attempt: u32) -> Leased {
    let lease = Lease {
        worker: "w".into(),
        worker_epoch: 1,
        attempt,
        scheduler_epoch: 7,
        granted_at: NOW,
    };
    let queueing = Queueing {
        pool: "default".to_owned(),
        lane: Short,
        queued_at: NOW,
        dispatched_at: NOW,
        queue_wait_ms: 55,
        waiting_ahead: 0,
    };
    Leased::granted(lease, queueing, NOW)
}

/// One request `a` that is leased to `w` under its first attempt; its worker can know of it.
fn leased() -> (Requests, Ticket) {
    let mut requests = Requests::default();
    let ticket = insert(&mut requests, &Spec::new("a", "t"));
    requests.lease(ticket, granted(1));
    requests.published(&attempt("a", 1), NOW);
    (requests, ticket)
}

fn shown(requests: &mut Requests, tokens: u32, at: TimestampMs) -> Option<(Charge, Charge)> {
    let status = worker("w", 1, 1, 1);
    let shown = InFlight {
        request_id: "a".into(),
        attempt: 1,
        scheduler_epoch: 7,
        tokens: relay_schemas::TokenCount(tokens),
    };
    requests.show(&status, &shown, at).map(|(_, charge)| charge)
}

#[test]
fn a_plan_chooses_the_queue_and_only_its_own_pools_models() {
    let mut long = Spec::new("a", "t");
    long.long = true;
    let ready = long.ready();
    let models = |pool| {
        let Route { lane, models } = route(&ready, pool);
        (lane, models)
    };
    assert_eq!(models("default"), (Long, vec!["m".to_owned()]));
    assert_eq!(models("other"), (Long, Vec::new()));
    let flows = [
        flow(Class::Interactive, Short),
        flow(Class::Interactive, Long),
        flow(Class::Batch, Long),
    ];
    assert_eq!(flows, Flow::ALL);
}

#[test]
fn a_request_is_known_by_its_id_and_its_ticket_until_it_is_removed() {
    let mut requests = Requests::default();
    let [a, b] = ["a", "b"].map(|id| insert(&mut requests, &Spec::new(id, "t")));
    assert!(a < b, "tickets ascend with age");
    assert_eq!(requests.ticket(&"a".into()), Some(a));
    assert_eq!(requests.body_bytes(), 200);
    assert_eq!(requests.longest(), (10, 20));
    requests.remove(a);
    assert_eq!(
        (requests.ticket(&"a".into()), requests.get(a).is_some()),
        (None, false)
    );
    assert_eq!(requests.longest(), (10, 20), "the other is as long");
    let left: Vec<Ticket> = requests.iter().map(|(ticket, _)| ticket).collect();
    assert_eq!((left, requests.body_bytes()), (vec![b], 100));
}

#[test]
fn exactly_the_queued_ones_wait_and_have_a_deadline() {
    let mut requests = Requests::default();
    let mut batch = Spec::new("b", "t");
    (batch.class, batch.deadline) = (Class::Batch, 500);
    let mut long = Spec::new("l", "t");
    (long.long, long.deadline) = (true, 900);
    let tickets = [&batch, &long, &Spec::new("s", "t")].map(|spec| insert(&mut requests, spec));
    assert_eq!(requests.next_deadline(), None);
    for ticket in tickets {
        requests.queue(ticket);
    }
    let waiting = Flow::ALL.map(|flow| requests.waiting(flow));
    assert_eq!((waiting, requests.waiting_interactive()), ([1, 1, 1], 2));
    assert_eq!(requests.next_deadline(), Some((TimestampMs(500), tickets[0])));
    assert!(matches!(requests.leave(tickets[0]), Some(Phase::Queued)));
    assert!(matches!(requests.leave(tickets[0]), Some(Phase::Moving)), "once");
    assert_eq!(requests.waiting(Flow::Batch), 0);
    assert_eq!(requests.next_deadline(), Some((TimestampMs(900), tickets[1])));
    let later = insert(&mut requests, &Spec::new("z", "t"));
    assert_eq!(requests.get(later).map(|pending| pending.waiting_ahead), Some(2));
}

#[test]
fn exactly_the_leased_ones_run_and_stand_under_their_worker() {
    let (mut requests, ticket) = leased();
    let pending = requests.get(ticket).unwrap();
    assert_eq!((pending.attempt, pending.waited_ms), (1, 55));
    assert_eq!(
        pending.charged,
        Charge::of_run(10, 0),
        "its prompt is charged at once"
    );
    assert_eq!(
        (requests.running(), requests.leased_to(&"w".into())),
        (1, vec![ticket])
    );
    assert!(requests.leased_to(&"v".into()).is_empty());
    assert!(matches!(requests.leave(ticket), Some(Phase::Leased(_))));
    assert_eq!(
        (requests.running(), requests.leased_to(&"w".into())),
        (0, Vec::new())
    );
}

#[test]
fn a_lease_is_known_by_its_very_attempt() {
    let (mut requests, ticket) = leased();
    assert_eq!(requests.leased_as(&attempt("a", 1)), Some(ticket));
    assert_eq!(requests.leased_as(&attempt("a", 2)), None);
    assert!(!requests.read_back(&attempt("a", 1), 6), "another epoch's");
    assert_eq!(requests.get(ticket).unwrap().attempts_in_log(), 0);
    assert!(requests.read_back(&attempt("a", 1), 7));
    assert_eq!(requests.get(ticket).unwrap().attempts_in_log(), 1);
}

#[test]
fn a_run_is_on_a_worker_by_its_name_its_epoch_and_its_attempt() {
    let leased = granted(1);
    let cases = [("w", 1, 1), ("v", 1, 1), ("w", 2, 1), ("w", 1, 2)];
    let on = cases.map(|(name, epoch, attempt)| leased.is_on(&worker(name, epoch, 1, 1), attempt));
    assert_eq!(on, [true, false, false, false]);
}

#[test]
fn only_a_run_whose_record_is_known_to_be_in_the_log_is_given_back() {
    let (mut requests, ticket) = leased();
    let status = worker("w", 1, 1, 1);
    let returned = |attempt| Returned {
        request_id: "a".into(),
        attempt,
        code: "backend_error".to_owned(),
        message: String::new(),
        begun: true,
    };
    assert_eq!(requests.given_back(&status, &returned(1)), None);
    requests.read_back(&attempt("a", 1), 7);
    let given_back = [1, 2].map(|attempt| requests.given_back(&status, &returned(attempt)));
    assert_eq!(given_back, [Some(ticket), None]);
}

#[test]
fn what_a_worker_shows_is_charged_once_and_never_less() {
    let (mut requests, ticket) = leased();
    let charges = [3, 5, 4].map(|tokens| shown(&mut requests, tokens, NOW));
    let of = |tokens| Charge::of_run(10, tokens);
    assert_eq!(
        charges,
        [(0, 3), (3, 5), (5, 5)].map(|(before, after)| Some((of(before), of(after))))
    );
    let other = worker("v", 1, 1, 1);
    let foreign = InFlight {
        request_id: "a".into(),
        attempt: 1,
        scheduler_epoch: 7,
        tokens: relay_schemas::TokenCount(9),
    };
    assert_eq!(
        requests.show(&other, &foreign, NOW),
        None,
        "another worker's run is none of ours"
    );
    assert_eq!(requests.take_charge(ticket), of(5));
    assert_eq!(requests.take_charge(ticket), Charge::default(), "once");
}

#[test]
fn a_lease_that_nothing_shows_is_lost_after_its_term() {
    let (mut requests, ticket) = leased();
    assert_eq!(unseen(&requests, NOW.plus_ms(1_999)), Vec::<Ticket>::new());
    assert_eq!(unseen(&requests, NOW.plus_ms(2_000)), [ticket]);
    shown(&mut requests, 1, NOW.plus_ms(10));
    assert_eq!(unseen(&requests, NOW.plus_ms(2_000)), Vec::<Ticket>::new());
    requests.renew(NOW.plus_ms(500));
    assert_eq!(unseen(&requests, NOW.plus_ms(2_400)), Vec::<Ticket>::new());
}

#[test]
fn a_lease_whose_record_is_not_in_the_log_is_neither_lost_nor_doubted() {
    let mut requests = Requests::default();
    let ticket = insert(&mut requests, &Spec::new("a", "t"));
    requests.lease(ticket, granted(1));
    assert_eq!(unseen(&requests, NOW.plus_ms(9_000)), Vec::<Ticket>::new());
    assert_eq!(requests.doubt(ticket), None);
    requests.renew(NOW);
    assert_eq!(requests.doubt(ticket).map(|it| it.attempt), Some(attempt("a", 1)));
}

#[test]
fn a_doubt_ends_when_the_worker_shows_the_run_but_not_once_it_is_given_up() {
    let (mut requests, ticket) = leased();
    let first = requests.doubt(ticket).unwrap();
    assert_eq!(first.attempt, attempt("a", 1));
    assert_eq!(requests.doubt(ticket), None, "once");
    assert!(requests.doubted(&first).is_some());
    shown(&mut requests, 0, NOW);
    assert!(requests.doubted(&first).is_none(), "shown meanwhile");
    let second = requests.doubt(ticket).unwrap();
    assert!(requests.doubted(&first).is_none(), "it is about the other doubt");
    assert_eq!(requests.doubted(&second).map(|(found, ..)| found), Some(ticket));
    requests.give_up(ticket);
    shown(&mut requests, 0, NOW);
    let doubt = requests.get(ticket).unwrap().leased().unwrap().doubt;
    assert_eq!(doubt, Doubt::Fencing);
}

#[test]
fn a_second_offer_moves_the_position_and_the_reply_address_only() {
    let (mut requests, ticket) = leased();
    let mut again = Spec::new("a", "t").offer(9, 200);
    Arc::make_mut(&mut again.ready.request).reply_to = Some("relay.reply.i2-1.a".to_owned());
    requests.offered_again(ticket, &again);
    let mut without = Spec::new("a", "t").offer(11, 200);
    Arc::make_mut(&mut without.ready.request).reply_to = None;
    requests.offered_again(ticket, &without);
    let pending = requests.get(ticket).unwrap();
    assert_eq!(pending.at.map(|at| at.offset), Some(11));
    assert_eq!(
        pending.ready.request.reply_to.as_deref(),
        Some("relay.reply.i2-1.a")
    );
    assert_eq!((pending.attempt, pending.queued_at), (1, TimestampMs(100)));
}

#[test]
fn everything_that_a_snapshot_would_show_counts_as_a_change() {
    let mut requests = Requests::default();
    let ticket = insert(&mut requests, &Spec::new("a", "t"));
    let mut seen = vec![requests.changes()];
    let changes: [Change; 5] = [
        Requests::queue,
        |requests, ticket| {
            requests.leave(ticket);
        },
        |requests, ticket| requests.lease(ticket, granted(1)),
        Requests::cancel,
        |requests, ticket| requests.offered_again(ticket, &Spec::new("a", "t").offer(5, 0)),
    ];
    for change in changes {
        change(&mut requests, ticket);
        seen.push(requests.changes());
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    requests.cancel(ticket);
    assert_eq!(requests.changes(), 5, "it was cancelled already");
}

#[test]
fn what_a_snapshot_says_of_earlier_attempts_comes_back() {
    let mut requests = Requests::default();
    let ticket = insert(&mut requests, &Spec::new("a", "t"));
    requests.resume(ticket, 2, 30, 1);
    requests.waits_since(ticket, NOW);
    let pending = requests.get(ticket).unwrap();
    assert_eq!((pending.attempt, pending.waited_ms, pending.since), (2, 30, NOW));
    assert_eq!(pending.attempts_here(), 1);
}

#[test]
fn attempts_of_another_pool_and_those_that_were_let_off_do_not_count_here() {
    let mut requests = Requests::default();
    let mut offer = Spec::new("a", "t").offer(4, 100);
    Arc::make_mut(&mut offer.ready.planning)
        .handovers
        .push(relay_schemas::HandOver {
            from_pool: "first".to_owned(),
            to_pool: "default".to_owned(),
            code: "worker_lost".to_owned(),
            message: String::new(),
            attempts: 2,
            handed_over_at: NOW,
        });
    let key = QueueKey {
        tenant: TENANT,
        flow: Flow::Short,
        route: route(&offer.ready, "default"),
    };
    let ticket = requests.insert(offer.arrive(&Timeline::default(), NOW), key, true);
    let counted = |requests: &Requests| {
        let pending = requests.get(ticket).unwrap();
        (
            pending.attempt,
            pending.attempts_here(),
            pending.attempts_in_log(),
        )
    };
    assert_eq!(counted(&requests), (2, 0, 2));
    requests.resume(ticket, 6, 0, 1);
    assert_eq!(counted(&requests), (6, 3, 6));
}
