use relay_schemas::Lane;

use super::*;
use crate::config::Remembered;

fn queues(fairness: Fairness) -> Queues {
    Queues::new(&Config {
        fairness,
        remembered: Remembered {
            tenants: 2,
            ..Remembered::default()
        },
        ..Config::default()
    })
}

fn route(model: &str) -> Route {
    Route {
        lane: Lane::Short,
        models: vec![model.to_owned()],
    }
}

/// A request of `tenant` waits under `ticket`.
fn wait(queues: &mut Queues, tenant: &str, flow: Flow, ticket: Ticket) -> QueueKey {
    let key = QueueKey {
        tenant: queues.tenant(&tenant.into()),
        flow,
        route: route("m"),
    };
    queues.push(&key, ticket, Arrival::New, true);
    key
}

/// A run of it is charged so many tokens of prompt, and shows so many of its answer.
fn run(queues: &mut Queues, key: &QueueKey, prompt: u64, tokens: u64) -> Charge {
    let charged = Charge::of_run(prompt, tokens);
    queues.recharge(key.tenant, key.flow, (Charge::default(), charged));
    charged
}

fn next(queues: &Queues) -> Option<Ticket> {
    queues.pick(|_, _| true).map(|(_, ticket)| ticket)
}

#[test]
fn the_tenant_charged_least_comes_first_and_in_it_the_oldest() {
    let mut queues = queues(Fairness::Vtc);
    let a = wait(&mut queues, "a", Flow::Short, 1);
    wait(&mut queues, "b", Flow::Short, 3);
    wait(&mut queues, "b", Flow::Short, 2);
    let charged = run(&mut queues, &a, 5, 0);
    assert_eq!(next(&queues), Some(2));
    queues.settle(a.tenant, a.flow, charged, 0);
    assert_eq!(next(&queues), Some(1), "less came of it than was held for it");
}

#[test]
fn what_no_worker_can_take_is_passed_over() {
    let mut queues = queues(Fairness::Vtc);
    let key = wait(&mut queues, "a", Flow::Short, 1);
    let other = QueueKey {
        route: route("n"),
        ..key.clone()
    };
    queues.push(&other, 2, Arrival::New, true);
    let picked = queues.pick(|route, _| *route == other.route);
    assert_eq!(picked, Some((other.clone(), 2)));
    assert!(queues.any(|route| *route == other.route));
    queues.remove(&other, 2);
    assert!(
        !queues.any(|route| *route == other.route),
        "its route is gone with it"
    );
    assert!(queues.any(|route| *route == key.route));
}

#[test]
fn a_tenant_waits_from_its_first_request_to_its_last() {
    let mut queues = queues(Fairness::Vtc);
    let key = wait(&mut queues, "a", Flow::Short, 1);
    queues.push(&key, 1, Arrival::New, true);
    queues.push(&key, 2, Arrival::New, true);
    assert_eq!(
        (queues.get(key.tenant).waiting(), queues.tenants_waiting()),
        (2, 1)
    );
    for ticket in [1, 1, 2] {
        queues.remove(&key, ticket);
    }
    assert_eq!(
        (queues.get(key.tenant).waiting(), queues.tenants_waiting()),
        (0, 0)
    );
    assert_eq!(next(&queues), None);
}

#[test]
fn who_comes_back_is_lifted_to_the_least_that_was_served_and_who_was_restored_is_not() {
    let mut queues = queues(Fairness::Vtc);
    let a = wait(&mut queues, "a", Flow::Short, 1);
    run(&mut queues, &a, 5, 1);
    let b = wait(&mut queues, "b", Flow::Short, 2);
    assert_eq!(
        queues.get(b.tenant).value(),
        2 * MILLI,
        "a token was served, a prompt is an estimate"
    );
    assert_eq!(queues.gap(), 5 * MILLI, "the greatest less the least");

    let mut queues = Queues::new(&Config::default());
    let a = wait(&mut queues, "a", Flow::Short, 1);
    queues.charge(a.tenant, a.flow, 7);
    let b = QueueKey {
        tenant: queues.tenant(&"b".into()),
        ..a
    };
    queues.push(&b, 2, Arrival::Restored, true);
    assert_eq!(queues.get(b.tenant).value(), 0);
    assert_eq!(queues.gap(), 7 * MILLI);
}

#[test]
fn who_comes_into_empty_queues_is_lifted_to_who_left_last() {
    let mut queues = queues(Fairness::Vtc);
    let a = wait(&mut queues, "a", Flow::Short, 1);
    queues.charge(a.tenant, a.flow, 7);
    queues.remove(&a, 1);
    assert_eq!(queues.floor(), 7 * MILLI);
    let b = wait(&mut queues, "b", Flow::Short, 2);
    assert_eq!(queues.get(b.tenant).value(), 7 * MILLI);
}

#[test]
fn what_waits_on_a_route_that_no_live_worker_takes_stands_in_nobodys_way_and_earns_no_claim() {
    let mut queues = Queues::new(&Config::default());
    let away = QueueKey {
        tenant: queues.tenant(&"away".into()),
        flow: Flow::Long,
        route: route("absent"),
    };
    queues.push(&away, 1, Arrival::New, false);
    let a = wait(&mut queues, "a", Flow::Short, 2);
    queues.charge(a.tenant, a.flow, 7);
    let b = wait(&mut queues, "b", Flow::Short, 3);
    assert_eq!(queues.get(b.tenant).value(), 7 * MILLI);
    assert_eq!((queues.gap(), queues.tenants_waiting()), (0, 3));
    assert_eq!(next(&queues), Some(2), "not what nobody could run");
    queues.look(|_, _| true);
    assert_eq!(queues.get(away.tenant).value(), 7 * MILLI, "a worker came");
    queues.look(|route, _| *route == a.route);
    queues.charge(a.tenant, a.flow, 5);
    queues.charge(b.tenant, b.flow, 5);
    queues.push(
        &QueueKey {
            flow: Flow::Short,
            route: a.route.clone(),
            ..away.clone()
        },
        4,
        Arrival::New,
        true,
    );
    assert_eq!(queues.get(away.tenant).value(), 12 * MILLI, "it was away");
}

#[test]
fn tenants_whose_workers_are_away_together_keep_what_is_between_them() {
    let mut queues = queues(Fairness::Vtc);
    let a = wait(&mut queues, "a", Flow::Short, 1);
    let b = wait(&mut queues, "b", Flow::Short, 2);
    queues.charge(a.tenant, a.flow, 7);
    queues.look(|_, _| false);
    assert_eq!(next(&queues), None);
    queues.look(|_, _| true);
    assert_eq!(next(&queues), Some(2));
    assert_eq!(queues.get(b.tenant).value(), 0);
}

#[test]
fn a_flow_that_no_live_worker_serves_lifts_no_other_of_its_tenant() {
    let mut queues = queues(Fairness::Vtc);
    let short = wait(&mut queues, "a", Flow::Short, 1);
    let long = QueueKey {
        flow: Flow::Long,
        route: route("absent"),
        ..short.clone()
    };
    queues.push(&long, 2, Arrival::New, false);
    queues.charge(short.tenant, short.flow, 8);
    wait(&mut queues, "a", Flow::Batch, 3);
    let picked = queues.pick(|route, _| *route == short.route);
    let ticket = picked.map(|(_, ticket)| ticket);
    assert_eq!(ticket, Some(1), "batch was away as well");
}

#[test]
fn inside_a_tenant_the_flow_charged_least_comes_first() {
    let mut queues = queues(Fairness::Vtc);
    let short = wait(&mut queues, "a", Flow::Short, 1);
    wait(&mut queues, "a", Flow::Long, 2);
    assert_eq!(next(&queues), Some(1));
    run(&mut queues, &short, 1, 0);
    assert_eq!(next(&queues), Some(2));
}

#[test]
fn of_a_flow_that_is_held_nothing_is_picked_and_the_others_pass() {
    let mut queues = queues(Fairness::Vtc);
    wait(&mut queues, "a", Flow::Batch, 1);
    let short = wait(&mut queues, "a", Flow::Short, 2);
    queues.charge(short.tenant, short.flow, 8);
    assert_eq!(next(&queues), Some(1));
    queues.hold_flow(Flow::Batch);
    assert_eq!(next(&queues), Some(2));
    queues.remove(&short, 2);
    assert_eq!(next(&queues), None);
}

#[test]
fn in_turn_means_in_turn_whatever_it_costs() {
    let mut queues = queues(Fairness::RoundRobin);
    let a = wait(&mut queues, "a", Flow::Short, 1);
    let b = wait(&mut queues, "b", Flow::Short, 2);
    run(&mut queues, &b, 1_000, 0);
    queues.served(a.tenant, a.flow);
    assert_eq!(next(&queues), Some(2));
    queues.served(b.tenant, b.flow);
    assert_eq!(next(&queues), Some(1));
}

#[test]
fn the_idle_tenant_charged_least_is_forgotten_and_none_that_has_a_request() {
    let mut queues = queues(Fairness::Vtc);
    let [a, b] = ["a", "b"].map(|id| queues.tenant(&id.into()));
    queues.charge(a, Flow::Short, 3);
    queues.charge(b, Flow::Short, 1);
    queues.hold(b, true);
    queues.tenant(&"c".into());
    let known: Vec<&str> = queues.tenants().map(|tenant| tenant.id().as_str()).collect();
    assert_eq!(known, ["b", "c"]);
    queues.hold(b, false);
    queues.tenant(&"d".into());
    let known: Vec<&str> = queues.tenants().map(|tenant| tenant.id().as_str()).collect();
    assert_eq!(known, ["b", "d"], "c was charged nothing");
    assert_eq!(queues.charges(), 2);
}

#[test]
fn counters_come_back_from_a_snapshot_as_they_went_in() {
    let mut queues = queues(Fairness::Vtc);
    let a = wait(&mut queues, "a", Flow::Long, 1);
    queues.settle(a.tenant, a.flow, Charge::default(), 9);
    queues.book(a.tenant, 3, 4);
    queues.served(a.tenant, a.flow);
    queues.remove(&a, 1);
    let snapshot = SchedulerSnapshot {
        tenants: queues.tenants().map(Tenant::to_snapshot).collect(),
        last_left: queues.floor() as i64,
        prompt_tokens: 3,
        completion_tokens: 4,
        floors: queues.floors(),
        ..SchedulerSnapshot::default()
    };
    let mut again = self::queues(Fairness::Vtc);
    again.restore(&snapshot);
    let tenants: Vec<_> = again.tenants().map(Tenant::to_snapshot).collect();
    assert_eq!(tenants, snapshot.tenants);
    assert_eq!((again.floor(), again.settled()), (9 * MILLI, (3, 4)));
    assert_eq!((tenants[0].turn, tenants[0].last_left), (1, 9_000));
    again.served(0, Flow::Short);
    let turn = again.tenants().next().map(|tenant| tenant.to_snapshot().turn);
    assert_eq!(turn, Some(2), "turns go on where they were");
}

#[test]
fn of_two_models_each_has_an_order_of_its_own() {
    let mut queues = Queues::new(&Config::default());
    let x = wait(&mut queues, "x", Flow::Short, 1);
    queues.charge(x.tenant, x.flow, 100);
    queues.remove(&x, 1);
    let [a, b] = ["a", "b"].map(|id| queues.tenant(&id.into()));
    let key = |tenant, model| QueueKey {
        tenant,
        flow: Flow::Short,
        route: route(model),
    };
    queues.charge(a, Flow::Short, 10);
    queues.charge(b, Flow::Short, 5);
    for (ticket, tenant) in [(2, a), (3, b)] {
        queues.push(&key(tenant, "n"), ticket, Arrival::Restored, true);
    }
    queues.push(&key(a, "m"), 4, Arrival::Restored, true);
    queues.push(&key(b, "m"), 5, Arrival::New, true);
    let picked = |model| queues.pick(|it, _| *it == route(model)).map(|(_, ticket)| ticket);
    assert_eq!(
        (picked("n"), picked("m")),
        (Some(3), Some(4)),
        "`b` is lifted at `m` and nowhere else"
    );
    assert_eq!(queues.gap(), 90 * MILLI, "at `m`; at `n` it is five");
    assert_eq!(queues.get(b).value(), 100 * MILLI);
}

#[test]
fn a_snapshot_tells_the_farthest_lift_and_no_lift_takes_anything_away() {
    let mut tenant = Tenant::new("a".into(), 100);
    let served = Charge::of_run(0, 1);
    tenant
        .counter
        .charge((Charge::default(), Charge::default()), 2, 100);
    tenant.counter.charge((Charge::default(), served), 0, 100);
    for (model, floor) in [("m", 5), ("n", 9), ("m", 7), ("n", 8), ("o", 3)] {
        tenant.lift(model, floor * MILLI);
    }
    let lifted = ["m", "n", "o"].map(|model| tenant.lifted(model) / MILLI);
    assert_eq!(lifted, [3, 5, 0], "above the four that were served");
    assert_eq!(tenant.lifts.len(), 2, "nothing is kept where it was not lifted");
    assert_eq!(tenant.value(), 9 * MILLI);
    let snapshot = tenant.to_snapshot();
    assert_eq!(snapshot.counter, 7_000, "what runs is not settled");
    let mut again = Tenant::new("a".into(), 100);
    again.restore(&snapshot);
    assert_eq!((again.value(), again.to_snapshot()), (7 * MILLI, snapshot));
}

#[test]
fn a_flow_is_lifted_where_it_opens_to_the_least_that_was_served_to_those_open() {
    let mut queues = queues(Fairness::Vtc);
    let short = wait(&mut queues, "a", Flow::Short, 1);
    queues.charge(short.tenant, short.flow, 8);
    let flows = |queues: &Queues| {
        let flows = queues.get(short.tenant).to_snapshot().flows;
        flows.into_iter().map(|milli| milli / 1_000).collect::<Vec<_>>()
    };
    let key = |flow| QueueKey {
        flow,
        ..short.clone()
    };
    queues.push(&key(Flow::Long), 2, Arrival::Restored, true);
    assert_eq!(flows(&queues), [8, 0, 0], "its counter was in the snapshot");
    queues.remove(&key(Flow::Long), 2);
    queues.push(&key(Flow::Long), 2, Arrival::New, true);
    assert_eq!(flows(&queues), [8, 8, 0]);
    queues.charge(short.tenant, Flow::Short, 4);
    queues.push(&key(Flow::Long), 3, Arrival::New, true);
    assert_eq!(flows(&queues), [12, 8, 0], "it was open");
}

#[test]
fn the_tokens_of_all_are_the_sum_of_those_of_each() {
    let mut queues = queues(Fairness::Vtc);
    let [a, b] = ["a", "b"].map(|id| queues.tenant(&id.into()));
    for (tenant, prompt, completion) in [(a, 3, 4), (b, 1, 2), (a, 5, 6)] {
        queues.book(tenant, prompt, completion);
    }
    assert_eq!([a, b].map(|ix| queues.get(ix).settled()), [(8, 10), (1, 2)]);
    assert_eq!(queues.settled(), (9, 12));
}
