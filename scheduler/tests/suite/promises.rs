//! What holds whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use relay_scheduler::{Config, Fairness, Limits};
use relay_schemas::{Class, FenceAnswer};

use crate::records::Spec;
use crate::world::World;

#[derive(Debug, Clone)]
enum Op {
    Offer {
        tenant: u8,
        long: bool,
        stream: bool,
        batch: bool,
        prompt: u32,
        life: i64,
    },
    OfferAgain(prop::sample::Index),
    Cancel(prop::sample::Index),
    Produce(prop::sample::Index, u32),
    Complete(prop::sample::Index),
    Forget(prop::sample::Index),
    Pass(i64),
    Mute(bool),
    Restart(bool),
    Tell,
    Fold,
    Fence(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..3u8, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), 0..50u32, 100..20_000i64)
            .prop_map(|(tenant, long, stream, batch, prompt, life)| Op::Offer { tenant, long, stream, batch, prompt, life }),
        1 => index().prop_map(Op::OfferAgain),
        1 => index().prop_map(Op::Cancel),
        3 => (index(), 0..50u32).prop_map(|(which, tokens)| Op::Produce(which, tokens)),
        4 => index().prop_map(Op::Complete),
        1 => index().prop_map(Op::Forget),
        3 => (1..1_500i64).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Mute),
        1 => any::<bool>().prop_map(Op::Restart),
        4 => Just(Op::Tell),
        3 => Just(Op::Fold),
        1 => (0..4u8).prop_map(Op::Fence),
    ]
}

fn name(second: bool) -> &'static str {
    if second { "w2" } else { "w1" }
}

/// Every run, as worker and request.
fn runs(world: &World) -> Vec<(String, relay_schemas::RequestId)> {
    let workers = world.workers.iter();
    workers
        .flat_map(|(name, worker)| {
            let ids = worker.works.iter().map(|work| work.request.request_id.clone());
            ids.map(move |id| (name.as_str().to_owned(), id))
        })
        .collect()
}

fn apply(world: &mut World, op: &Op) {
    match op {
        Op::Offer {
            tenant,
            long,
            stream,
            batch,
            prompt,
            life,
        } => {
            let class = if *batch { Class::Batch } else { Class::Interactive };
            world.offer(&Spec {
                class,
                long: *long,
                stream: *stream,
                prompt: *prompt,
                deadline: world.now + life,
                ..Spec::new(format!("r{}", world.ready_log.len()), format!("t{tenant}"))
            });
        }
        Op::OfferAgain(which) if !world.ready_log.is_empty() => {
            let spec = which.get(&world.ready_log).clone();
            world.offer(&spec);
        }
        Op::Cancel(which) if !world.ready_log.is_empty() => {
            let spec = which.get(&world.ready_log).clone();
            world.cancel(&spec.id, &spec.tenant);
        }
        Op::Produce(which, tokens) => {
            if let Some((worker, id)) = pick(world, *which) {
                world.produce(&worker, &id, *tokens);
            }
        }
        Op::Complete(which) => {
            if let Some((worker, id)) = pick(world, *which) {
                world.complete(&worker, &id, 7);
            }
        }
        Op::Forget(which) => {
            if let Some((worker, id)) = pick(world, *which) {
                let worker = world.workers.get_mut(&worker.as_str().into()).unwrap();
                worker.works.retain(|work| work.request.request_id != id);
                worker.status.in_flight.retain(|shown| shown.request_id != id);
            }
        }
        Op::Pass(ms) => world.pass(*ms),
        Op::Mute(second) => {
            let worker = world.workers.get_mut(&name(*second).into()).unwrap();
            worker.alive = !worker.alive;
        }
        Op::Restart(second) => {
            let worker = world.workers.get_mut(&name(*second).into()).unwrap();
            worker.status.epoch += 1;
            worker.status.in_flight.clear();
            worker.works.clear();
            worker.alive = true;
        }
        Op::Tell => {
            world.tell("w1");
            world.tell("w2");
        }
        Op::Fold => world.fold(),
        Op::Fence(answer) => {
            let answers = [
                None,
                Some(FenceAnswer {
                    known: false,
                    saw_token: false,
                }),
                Some(FenceAnswer {
                    known: true,
                    saw_token: false,
                }),
                Some(FenceAnswer {
                    known: true,
                    saw_token: true,
                }),
            ];
            world.fence = answers[usize::from(*answer)];
        }
        Op::OfferAgain(_) | Op::Cancel(_) => {}
    }
}

fn pick(world: &World, which: prop::sample::Index) -> Option<(String, relay_schemas::RequestId)> {
    let runs = runs(world);
    (!runs.is_empty()).then(|| which.get(&runs).clone())
}

/// What each tenant's counter holds for good.
fn settled(world: &World) -> BTreeMap<String, u64> {
    let tenants = world.core.snapshot().tenants.into_iter();
    tenants
        .map(|tenant| (tenant.tenant.as_str().to_owned(), tenant.counter as u64))
        .collect()
}

/// Leases that stand on a worker never exceed its slots.
fn leases_fit(world: &World) -> Result<(), TestCaseError> {
    for (name, worker) in &world.workers {
        let mut leases = [0u32; 2];
        let ids: BTreeSet<&str> = world.ids_dispatched().into_iter().collect();
        for id in ids {
            let lease = world.core.lease_of(&id.into());
            let here =
                lease.filter(|lease| lease.worker == *name && lease.worker_epoch == worker.status.epoch);
            if here.is_some() {
                let lane = world
                    .dispatched
                    .iter()
                    .find(|work| work.request.request_id.as_str() == id)
                    .unwrap()
                    .queueing
                    .lane;
                leases[lane as usize] += 1;
            }
        }
        let limits = [worker.status.short_slots, worker.status.long_slots];
        prop_assert!(
            leases[0] <= limits[0] && leases[1] <= limits[1],
            "{leases:?} on {name}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_request_is_in_one_place_ends_in_time_and_never_exceeds_the_credits(
        ops in prop::collection::vec(op(), 20..200),
        round_robin in any::<bool>(),
    ) {
        let fairness = if round_robin { Fairness::RoundRobin } else { Fairness::Vtc };
        let config = Config {
            fairness,
            limits: Limits { max_waiting: 20, max_waiting_per_tenant: 10, ..Limits::default() },
            ..Config::default()
        };
        let mut world = World::new(config).with_worker("w1", 2, 1).with_worker("w2", 1, 2);
        for op in &ops {
            apply(&mut world, op);
            world.dispatch();
            leases_fit(&world)?;
            let counts = world.core.counts();
            let offered: BTreeSet<&str> = world.ready_log.iter().map(|spec| spec.id.as_str()).collect();
            let waiting = counts.waiting_short + counts.waiting_long + counts.waiting_batch;
            let ended = world.distinct_ended().len();
            // A run that has ended on its worker still counts as leased until its outcome is folded.
            let unread: BTreeSet<&str> = world.outcomes[world.read..].iter().map(|outcome| outcome.request_id.as_str()).collect();
            let both = unread.iter().filter(|id| world.core.is_open(&(**id).into())).count();
            prop_assert_eq!(waiting + counts.running + ended - both, offered.len());
        }
        // Everything ends once time is over and everybody is gone.
        for worker in world.workers.values_mut() {
            worker.alive = false;
        }
        world.fold();
        for _ in 0..300 {
            world.pass(100);
            world.fold();
        }
        let offered: BTreeSet<&str> = world.ready_log.iter().map(|spec| spec.id.as_str()).collect();
        prop_assert_eq!(world.distinct_ended(), offered);
        prop_assert_eq!(world.core.counts().running, 0);
        prop_assert_eq!(world.core.counts().body_bytes, 0);
        let counters: BTreeMap<String, u64> = world.core.counters().into_iter().collect();
        prop_assert_eq!(counters, settled(&world), "who runs nothing is charged what was settled");
        // What was charged is the fold of the winners.
        let mut winners = BTreeSet::new();
        let (mut prompt, mut completion) = (0u64, 0u64);
        for outcome in &world.outcomes {
            if winners.insert(outcome.request_id.as_str()) && outcome.lease.is_some() {
                prompt += u64::from(outcome.usage.prompt_tokens.0);
                completion += u64::from(outcome.usage.completion_tokens.0);
            }
        }
        let counts = world.core.counts();
        prop_assert_eq!((counts.prompt_tokens, counts.completion_tokens), (prompt, completion));
    }

    #[test]
    fn what_is_settled_only_grows(ops in prop::collection::vec(op(), 20..150)) {
        let mut world = World::new(Config::default()).with_worker("w1", 2, 1).with_worker("w2", 1, 2);
        let mut before = BTreeMap::new();
        for op in &ops {
            apply(&mut world, op);
            world.dispatch();
            let after = settled(&world);
            for (tenant, value) in &before {
                let now = after.get(tenant);
                prop_assert!(now.is_some_and(|now| now >= value), "{} fell from {} to {:?}", tenant, value, now);
            }
            before = after;
        }
    }
}
