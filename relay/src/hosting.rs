//! Hosts services: all six in one process, some of them, or one alone. The order below is the order of the flow.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use relay_bus::topics::OUTCOMES;
use relay_clock::Clock;
use relay_control::Control;
use relay_runner::{Backoff, DrainPlan, Identity, Runtime, WatchdogTimes};
use relay_schemas::{InstanceId, Registry};
use relay_store::Tables;
use tokio::net::TcpListener;

use crate::banner::{self, Places};
use crate::config::Config;
use crate::descriptors;
use crate::draining::Running;
use crate::exposure;
use crate::hosted::{Hosted, HostedService};
use crate::ops::Bound;
use crate::process_metrics;
use crate::scheduling;
use crate::seams::{self, BusConfig};
use crate::signals;
use crate::topics::{self, Keeper};

/// What all services of this process share.
struct House {
    config: Config,
    runtime: Runtime,
    control: Arc<dyn Control>,
    tables: Option<Tables>,
    api: Option<TcpListener>,
    instance: InstanceId,
    epoch: i64,
    /// Partitions of the outcomes, as the manifest has it.
    outcomes: i32,
}

/// Runs the services in this process, until they have ended.
pub async fn host(mut config: Config, services: Hosted) -> anyhow::Result<()> {
    let lame_duck = config.lame_duck(&services);
    descriptors::prepare(&mut config)?;
    // A taken port is the commonest mistake: it is said before the log is opened and models are loaded, and leaves no folder behind.
    let api = if services.has(HostedService::Ingress) {
        Some(listen(&config.ingress).await?)
    } else {
        None
    };
    let api_address = api.as_ref().map(TcpListener::local_addr).transpose()?;
    let operators = Bound::bind(&config.ops).await?;
    if matches!(config.bus, BusConfig::Embedded(_)) {
        std::fs::create_dir_all(&config.data)
            .with_context(|| format!("the data folder {}", config.data.display()))?;
    }
    let mut house = House::open(config, &services, api).await?;
    let shutdown = house.runtime.shutdown.clone();
    let admin = house
        .tables
        .as_ref()
        .map(|tables| relay_trace_sink::admin_router(tables.traces.clone()));
    let admin = house.with_log(admin)?;
    let ops = operators.serving(&house.config.ops, &house.runtime, admin);
    let mut warnings = exposure::warnings(api_address, ops.address()?);
    if matches!(house.config.bus, BusConfig::Embedded(_)) {
        let policy = relay_planner::load(&house.config.planner.policy)?;
        warnings.extend(scheduling::warnings(&house.config, &policy));
    }
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let admin_pages = house.tables.is_some().then(|| ops.address()).transpose()?;

    house.expect_dependencies(&services);
    if !services.has(HostedService::Ingress) {
        tokio::spawn(control(house.runtime.clone(), house.control.clone()));
    }
    let timeout = house.config.drain_timeout;
    let plan = DrainPlan { timeout, lame_duck };
    let mut running = Running::new(plan, shutdown.clone(), house.runtime.clock.clone());
    for hosted in services.iter() {
        house.start(hosted, &mut running);
    }
    running.add(hold_outcomes(house.runtime.clone(), house.outcomes));
    running.add(watch_parts(house.runtime.clone(), house.config.watchdog));
    let ops = tokio::spawn(ops.serve());
    let places = api_address.map(|api| Places {
        api,
        admin: admin_pages,
        warnings,
    });
    running.add(banner::once_ready(
        house.config.clone(),
        house.runtime.clone(),
        places,
    ));
    signals::hear(shutdown, timeout).context("hearing signals")?;
    let result = running.finish().await;
    ops.abort();
    result
}

async fn listen(ingress: &relay_ingress::Config) -> anyhow::Result<TcpListener> {
    let (host, port) = (ingress.host.as_str(), ingress.port);
    TcpListener::bind((host, port))
        .await
        .with_context(|| format!("the HTTP API on {host}:{port} (`ingress.port`, --port, PORT)"))
}

impl House {
    async fn open(config: Config, services: &Hosted, api: Option<TcpListener>) -> anyhow::Result<Self> {
        let manifest = config.manifest()?;
        let clock = Clock::system();
        let bus = config.bus.open(&config.data, &manifest, &clock)?;
        let schemas = Arc::new(Registry::default());
        let control = config.control.open(schemas.clone()).await?;
        let tables = if services.has(HostedService::TraceSink) {
            Some(config.store.open(&config.data, &clock)?)
        } else {
            None
        };
        let runtime = Runtime {
            clock,
            schemas,
            ..Runtime::new(bus)
        };
        runtime.bus.register(&runtime.metrics)?;
        process_metrics::register(&runtime.metrics)?;
        tokio::spawn(follow_schemas(runtime.clone()));
        let instance = config.instance.clone().unwrap_or_else(default_instance);
        let epoch = runtime.clock.now().0;
        let topics = manifest.expanded();
        let outcomes = topics.iter().find(|topic| topic.name == OUTCOMES);
        let outcomes = outcomes
            .with_context(|| format!("the topic manifest lacks {OUTCOMES}"))?
            .partitions;
        Ok(Self {
            config,
            runtime,
            control,
            tables,
            api,
            instance: InstanceId::new(instance),
            epoch,
            outcomes,
        })
    }

    /// The pages, and with them the log where this process alone can open it.
    fn with_log(&self, admin: Option<Router>) -> anyhow::Result<Option<Router>> {
        let BusConfig::Embedded(_) = &self.config.bus else {
            return Ok(admin);
        };
        let (bus, clock) = (self.runtime.bus.clone(), self.runtime.clock.clone());
        let keeper = Arc::new(Keeper::new(bus, self.config.manifest()?, clock));
        let log = self.config.data.join(seams::LOG);
        let door = topics::door::router(keeper, &log, self.config.ops.max_log_readers);
        Ok(admin.map(|pages| pages.merge(door)))
    }

    /// Nothing counts as ready before whoever needs it has said so.
    fn expect_dependencies(&self, services: &Hosted) {
        let health = &self.runtime.health;
        health.down("bus", "not reached yet");
        health.down("control", "not reached yet");
        for hosted in services.iter() {
            match hosted {
                HostedService::Planner => health.down("policy", "not read yet"),
                HostedService::Workers => health.down("models", "not loaded yet"),
                HostedService::TraceSink => health.down("store", "not reached yet"),
                HostedService::Ingress | HostedService::CacheService | HostedService::Scheduler => {}
            }
        }
    }

    fn start(&mut self, hosted: HostedService, running: &mut Running) {
        let shutdown = self.runtime.shutdown.of_service();
        let runtime = Runtime {
            shutdown: shutdown.clone(),
            ..self.runtime.clone()
        };
        let control = self.control.clone();
        let identity = Identity {
            service: hosted.service(),
            instance: self.instance.clone(),
            epoch: self.epoch,
        };
        macro_rules! serve {
            ($service:ident, $section:ident $(, $own:ident)*) => {{
                let deps = $service::Deps { runtime, identity, control $(, $own)* };
                running.add_service(hosted, shutdown, $service::run(self.config.$section.clone(), deps));
            }};
        }
        match hosted {
            HostedService::Ingress => {
                let listener = self
                    .api
                    .take()
                    .expect("the API's address is taken wherever the ingress runs");
                serve!(relay_ingress, ingress, listener);
            }
            HostedService::Planner => serve!(relay_planner, planner),
            HostedService::CacheService => serve!(relay_cache_service, cache_service),
            HostedService::Scheduler => serve!(relay_scheduler, scheduler),
            HostedService::Workers => serve!(relay_workers, workers),
            HostedService::TraceSink => {
                let tables = self
                    .tables
                    .clone()
                    .expect("the store is opened wherever the trace sink runs");
                serve!(relay_trace_sink, trace_sink, tables);
            }
        }
    }
}

/// Publishes this build's schemas and learns everybody's, as soon as the bus is there and for as long as it is.
async fn follow_schemas(runtime: Runtime) {
    let mut backoff = Backoff::new(
        Duration::from_millis(100),
        Duration::from_secs(2),
        &runtime.chance,
    );
    let learning = async {
        loop {
            let error = match announce_and_learn(&runtime).await {
                Ok(()) => {
                    runtime.health.up("bus");
                    backoff.reset();
                    match relay_runner::follow_schemas(&*runtime.bus, &runtime.schemas).await {
                        Ok(never) => match never {},
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            runtime.health.down("bus", error.to_string());
            backoff.wait().await;
        }
    };
    tokio::select! {
        biased;
        () = runtime.shutdown.draining() => {}
        () = learning => {}
    }
}

async fn announce_and_learn(runtime: &Runtime) -> Result<(), relay_bus::BusError> {
    relay_runner::announce_schemas(&*runtime.bus).await?;
    relay_runner::refresh_schemas(&*runtime.bus, &runtime.schemas).await
}

async fn watch_parts(runtime: Runtime, times: WatchdogTimes) -> anyhow::Result<()> {
    Ok(relay_runner::watch_parts(&runtime, times).await?)
}

async fn hold_outcomes(runtime: Runtime, expected: i32) -> anyhow::Result<()> {
    Ok(relay_runner::hold_partitions(&runtime, OUTCOMES, expected).await?)
}

/// Says on the health board whether the control seam is there, for ever. An ingress looks for itself: it refuses requests by it.
async fn control(runtime: Runtime, control: Arc<dyn Control>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        match control.probe().await {
            Ok(()) => runtime.health.up("control"),
            Err(error) => runtime.health.down("control", error.to_string()),
        }
    }
}

/// Host name and process id: unique enough for people, and the epoch tells a restart apart.
fn default_instance() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let host = if host.is_empty() { "relay" } else { &host };
    format!("{host}-{}", std::process::id())
}
