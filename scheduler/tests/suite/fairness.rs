//! The VTC bound, on random schedules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relay_scheduler::core::{W_IN, W_OUT, cost};
use relay_scheduler::{Config, Fairness};

use crate::records::Spec;
use crate::world::World;

const L_IN: u32 = 64;
const L_OUT: u32 = 48;
const TENANTS: usize = 4;

#[derive(Debug, Clone)]
struct Step {
    which: prop::sample::Index,
    tokens: u32,
    ends: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (any::<prop::sample::Index>(), 0..L_OUT, prop::bool::weighted(0.4))
        .prop_map(|(which, tokens, ends)| Step { which, tokens, ends })
}

fn offer_all(world: &mut World, sizes: &[(usize, u32)]) {
    for (n, (tenant, prompt)) in sizes.iter().enumerate() {
        let spec = Spec {
            prompt: *prompt,
            output: L_OUT,
            ..Spec::new(format!("r{n}"), format!("t{}", tenant % TENANTS))
        };
        world.offer(&spec);
    }
}

/// Weighted service of each tenant: input of what was dispatched, output as produced.
fn service(world: &World, produced: &BTreeMap<String, u32>) -> BTreeMap<String, u64> {
    let mut service = BTreeMap::new();
    for work in &world.dispatched {
        let tokens = produced
            .get(work.request.request_id.as_str())
            .copied()
            .unwrap_or(0);
        let due = cost(work.request.prompt_tokens.0.into(), tokens.into());
        *service
            .entry(work.request.tenant.as_str().to_owned())
            .or_default() += due;
    }
    service
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_service_gap_of_backlogged_tenants_stays_within_the_bound(
        sizes in prop::collection::vec((0..TENANTS, 1..=L_IN), 200..300),
        slots in 1u32..6,
        steps in prop::collection::vec(step(), 150..400),
    ) {
        let mut world = World::new(Config::default()).with_worker("w", slots, 0);
        offer_all(&mut world, &sizes);
        let mut produced: BTreeMap<String, u32> = BTreeMap::new();
        let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
        for spec in &world.ready_log {
            *waiting.entry(spec.tenant.clone()).or_default() += 1;
        }
        let m = u64::from(slots) * u64::from(L_IN + L_OUT);
        let bound = 2 * (W_IN * u64::from(L_IN)).max(W_OUT * m);
        world.dispatch();
        for step in steps {
            let running: Vec<_> = world.workers[&"w".into()].works.iter().map(|work| work.request.request_id.clone()).collect();
            if running.is_empty() {
                break;
            }
            let id = step.which.get(&running);
            let tokens = produced.entry(id.as_str().to_owned()).or_default();
            *tokens = (*tokens + step.tokens).min(L_OUT);
            let tokens = *tokens;
            world.produce("w", id, tokens);
            if step.ends {
                world.complete("w", id, tokens);
                world.fold();
            }
            world.tell("w");
            world.dispatch();
            let dispatched = world.dispatched.iter().fold(BTreeMap::<&str, usize>::new(), |mut sum, work| {
                *sum.entry(work.request.tenant.as_str()).or_default() += 1;
                sum
            });
            let backlogged = waiting.iter().all(|(tenant, offered)| dispatched.get(tenant.as_str()).copied().unwrap_or(0) < *offered);
            if !backlogged {
                break;
            }
            let service = service(&world, &produced);
            let of = |tenant: &String| service.get(tenant).copied().unwrap_or(0);
            let most = waiting.keys().map(of).max().unwrap();
            let least = waiting.keys().map(of).min().unwrap();
            prop_assert!(most - least <= bound, "{most} - {least} > {bound}");
        }
    }

    #[test]
    fn round_robin_serves_backlogged_tenants_in_turn(
        sizes in prop::collection::vec((0..TENANTS, 1..=L_IN), 40..80),
        slots in 1u32..4,
    ) {
        let config = Config { fairness: Fairness::RoundRobin, ..Config::default() };
        let mut world = World::new(config).with_worker("w", slots, 0);
        offer_all(&mut world, &sizes);
        let mut offered = [0usize; TENANTS];
        for (tenant, _) in &sizes {
            offered[tenant % TENANTS] += 1;
        }
        let mut served = [0usize; TENANTS];
        let mut seen = 0;
        while world.dispatched.len() < sizes.len() {
            world.dispatch();
            for work in &world.dispatched[seen..] {
                let tenant: usize = work.request.tenant.as_str()[1..].parse().unwrap();
                served[tenant] += 1;
                let waiting = (0..TENANTS).filter(|tenant| served[*tenant] < offered[*tenant]);
                let least = waiting.map(|tenant| served[tenant]).min();
                if let Some(least) = least {
                    prop_assert!(served[tenant] <= least + 1, "{served:?} of {offered:?}");
                }
            }
            seen = world.dispatched.len();
            let running: Vec<_> = world.workers[&"w".into()].works.iter().map(|work| work.request.request_id.clone()).collect();
            for id in running {
                world.complete("w", &id, 5);
            }
            world.fold();
        }
    }
}
