//! How each service is started, with the configuration that it has in a simulation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use relay_clock::Life;
use relay_planner::PolicyFile;
use relay_schemas::Service;
use relay_workers::models::Price;
use relay_workers::simulated::{ScriptedModel, run_with};

use super::schedule::Actor;
use super::stand::{Process, Stand};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/policy.yaml");
/// Requests that a worker runs at once, of each lane.
const SLOTS: u32 = 3;

/// An ingress, as clients reach it.
#[derive(Clone)]
pub(crate) struct Door {
    pub router: Router,
    pub life: Arc<Life>,
}

/// Starts `actor`; an ingress has a door.
pub(crate) fn start(stand: &Stand, actor: Actor) -> (Process, Option<Door>) {
    match actor {
        Actor::Ingress(_) => {
            let (process, door) = ingress(stand, actor);
            (process, Some(door))
        }
        Actor::Planner => (planner(stand), None),
        Actor::CacheService => (cache_service(stand), None),
        Actor::Scheduler(_) => (scheduler(stand, actor), None),
        Actor::Worker(number) => (worker(stand, number), None),
        Actor::TraceSink => (trace_sink(stand), None),
    }
}

fn ingress(stand: &Stand, actor: Actor) -> (Process, Door) {
    let mut config = relay_ingress::Config::default();
    config.batch.enabled = false;
    // Without these a run would wait for minutes after its last request.
    config.cluster.sweep.every = Duration::from_secs(1);
    config.cluster.sweep.margin = Duration::from_secs(3);
    let mut router = None;
    let process = stand.start(Service::Ingress, actor, |handed| {
        let assembled = relay_ingress::assemble(&config, &handed.runtime, &handed.identity, &handed.control);
        let assembled = assembled.expect("its metrics are registered once");
        router = Some(assembled.router);
        assembled.tasks.beside(std::future::pending())
    });
    let door = Door {
        router: router.expect("it was put together"),
        life: Arc::clone(&process.life),
    };
    (process, door)
}

fn planner(stand: &Stand) -> Process {
    stand.start(Service::Planner, Actor::Planner, |handed| {
        let config = relay_planner::Config {
            policy: PolicyFile::at(POLICY),
            ..relay_planner::Config::default()
        };
        let deps = relay_planner::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_planner::run(config, deps)
    })
}

fn cache_service(stand: &Stand) -> Process {
    stand.start(Service::CacheService, Actor::CacheService, |handed| {
        let deps = relay_cache_service::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_cache_service::run(relay_cache_service::Config::default(), deps)
    })
}

fn scheduler(stand: &Stand, actor: Actor) -> Process {
    stand.start(Service::Scheduler, actor, |handed| {
        let config = relay_scheduler::Config {
            pools: vec!["default".to_owned(), "spare".to_owned()],
            ..relay_scheduler::Config::default()
        };
        let deps = relay_scheduler::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        relay_scheduler::run(config, deps)
    })
}

fn worker(stand: &Stand, number: u8) -> Process {
    stand.start(Service::Workers, Actor::Worker(number), |handed| {
        let (pool, model) = match number {
            3 => ("spare", "spare-model"),
            _ => ("default", "model"),
        };
        let config = relay_workers::Config {
            pool: pool.to_owned(),
            short_slots: SLOTS,
            long_slots: SLOTS,
            ..relay_workers::Config::default()
        };
        let backend = stand.scripts.backend(model, 2 * SLOTS, handed.life);
        let price = Price::default();
        let models = BTreeMap::from([(model.to_owned(), ScriptedModel { backend, price })]);
        let deps = relay_workers::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
        };
        run_with(config, deps, models)
    })
}

fn trace_sink(stand: &Stand) -> Process {
    stand.start(Service::TraceSink, Actor::TraceSink, |handed| {
        let deps = relay_trace_sink::Deps {
            runtime: handed.runtime,
            identity: handed.identity,
            control: handed.control,
            tables: stand.tables.process(handed.life),
        };
        relay_trace_sink::run(relay_trace_sink::Config::default(), deps)
    })
}
