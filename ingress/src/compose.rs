//! Puts the parts of an ingress together.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use relay_clock::Clock;
use relay_control::{Control, subjects};
use relay_runner::{Identity, Runtime, Winners};
use relay_schemas::{PoolStatus, WorkerStatus};
use tokio_util::task::TaskTracker;

use crate::admission::accept::Acceptor;
use crate::admission::admit::{Admission, Following};
use crate::admission::limits::Limits;
use crate::admission::refusals::{Budget, Refusals};
use crate::answers::abandoned::Abandoned;
use crate::answers::outcomes::Outcomes;
use crate::answers::questions::Questions;
use crate::answers::replies::{Replies, answer_fences};
use crate::answers::routes::Routes;
use crate::answers::waiter::Waiting;
use crate::batch::Batch;
use crate::batch::gate::Gate;
use crate::batch::intake::{Intake, LineRules};
use crate::batch::results::Results;
use crate::canonical::Defaults;
use crate::cluster::models::Models;
use crate::cluster::readiness::Readiness;
use crate::cluster::{probes, statuses};
use crate::config::Config;
use crate::error::Error;
use crate::http::server::Bounds;
use crate::http::state::{App, Bodies, Catalogue, Counted, Deadlines, KeepAlive, Probed};
use crate::metrics::Metrics;

/// The parts of an ingress.
pub struct Ingress {
    /// What the handlers share.
    pub app: App,
    /// Bounds of connections.
    pub connections: Bounds,
    /// The batch half, where it is switched on.
    pub batch: Option<Batch>,
    /// What goes on as long as the ingress does; never completes.
    pub background: BoxFuture<'static, ()>,
    /// What goes on when a client is gone.
    pub tasks: TaskTracker,
}

/// Puts an ingress together that has not looked at anything yet.
///
/// # Errors
/// If its metrics are registered already.
pub fn compose(
    config: &Config,
    runtime: &Runtime,
    identity: &Identity,
    control: &Arc<dyn Control>,
) -> Result<Ingress, Error> {
    let ground = Ground {
        config,
        runtime,
        identity,
        control,
        metrics: Arc::new(Metrics::new(&runtime.metrics)?),
        readiness: Arc::new(Readiness::new(runtime.health.clone())),
        tasks: TaskTracker::new(),
    };
    let defaults = Arc::new(config.defaults());
    let models = Arc::new(Mutex::new(Models::new(ms(config.worker_stale_ms))));
    let gate = Arc::new(Mutex::new(Gate::new(&config.batch)));
    let waiting = ground.waiting();
    let background = ground.background(&waiting.routes, &models, &gate);
    Ok(Ingress {
        app: ground.app(waiting, &defaults, models),
        connections: ground.connections(),
        batch: config.batch.enabled.then(|| ground.batch(defaults, gate)),
        background,
        tasks: ground.tasks,
    })
}

/// What the parts stand on.
struct Ground<'a> {
    config: &'a Config,
    runtime: &'a Runtime,
    identity: &'a Identity,
    control: &'a Arc<dyn Control>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    tasks: TaskTracker,
}

impl Ground<'_> {
    fn clock(&self) -> Clock {
        self.runtime.clock.clone()
    }

    fn waiting(&self) -> Arc<Waiting> {
        let routes = Arc::new(Routes::default());
        let questions = Questions {
            control: Arc::clone(self.control),
            timeout: ms(self.config.ask_timeout_ms),
            asked: self.metrics.questions.clone(),
            clock: self.clock(),
        };
        let abandoned = Abandoned {
            control: Arc::clone(self.control),
            routes: Arc::clone(&routes),
            questions: questions.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.runtime.shutdown.clone(),
            pause: ms(self.config.cancel_every_ms.max(1)),
            gone: self.metrics.gone.clone(),
            clock: self.clock(),
        };
        Arc::new(Waiting {
            routes,
            questions,
            abandoned,
            grace: ms(self.config.deadline_grace_ms),
            clock: self.clock(),
        })
    }

    fn background(
        &self,
        routes: &Arc<Routes>,
        models: &Arc<Mutex<Models>>,
        gate: &Arc<Mutex<Gate>>,
    ) -> BoxFuture<'static, ()> {
        let identity = self.identity.clone();
        let control = Arc::clone(self.control);
        let bus = Arc::clone(&self.runtime.bus);
        let readiness = Arc::clone(&self.readiness);
        let replies = Replies {
            control: Arc::clone(&control),
            schemas: Arc::clone(&self.runtime.schemas),
            subject: subjects::replies(&identity.instance, identity.epoch),
            routes: Arc::clone(routes),
            readiness: Arc::clone(&readiness),
            strays: self.metrics.strays.clone(),
            clock: self.clock(),
        };
        let outcomes = Outcomes {
            bus: Arc::clone(&bus),
            schemas: Arc::clone(&self.runtime.schemas),
            routes: Arc::clone(routes),
            readiness: Arc::clone(&readiness),
            clock: self.clock(),
        };
        let (routes, models, gate) = (Arc::clone(routes), Arc::clone(models), Arc::clone(gate));
        let period = ms(self.config.probe_every_ms.max(10));
        let (workers, pools) = (subjects::worker_status("*"), subjects::pool_status("*"));
        let clock = self.clock();
        async move {
            tokio::join!(
                replies.listen(),
                answer_fences(Arc::clone(&control), identity, routes),
                outcomes.follow(),
                statuses::listen(Arc::clone(&control), workers, |status: WorkerStatus| {
                    models.lock().on_status(status, clock.now());
                }),
                statuses::listen(Arc::clone(&control), pools, |status: PoolStatus| {
                    gate.lock().on_status(&status, clock.now());
                }),
                probes::run(bus, Arc::clone(&control), readiness, period),
            );
        }
        .boxed()
    }

    fn admission(&self, waiting: Arc<Waiting>) -> Admission {
        let config = self.config;
        Admission {
            limits: Limits::new(config.max_in_flight, config.max_in_flight_per_tenant),
            readiness: Arc::clone(&self.readiness),
            shutdown: self.runtime.shutdown.clone(),
            acceptor: Acceptor {
                bus: Arc::clone(&self.runtime.bus),
                timeout: ms(config.accept_timeout_ms),
                waited: self.metrics.accept.clone(),
                service: self.identity.service,
            },
            waiting,
            following: Following {
                patience: config.patience(false),
                keyed_patience: config.patience(true),
                most_unread: config.max_unread_bytes,
            },
            identity: self.identity.clone(),
            retry_after_ms: config.retry_after_ms,
            clock: self.clock(),
        }
    }

    fn app(&self, waiting: Arc<Waiting>, defaults: &Arc<Defaults>, models: Arc<Mutex<Models>>) -> App {
        let (config, runtime) = (self.config, self.runtime);
        App {
            admission: Arc::new(self.admission(waiting)),
            refusals: Arc::new(Refusals {
                bus: Arc::clone(&runtime.bus),
                budget: Budget::new(config.refused_per_second),
                run: self.identity.run(0),
                tasks: self.tasks.clone(),
                count: self.metrics.refused.clone(),
                clock: self.clock(),
            }),
            defaults: Arc::clone(defaults),
            bodies: Bodies {
                most_bytes: config.max_body_bytes,
                timeout: ms(config.body_timeout_ms),
            },
            deadlines: Deadlines {
                default_ms: config.default_deadline_ms,
                longest_ms: config.max_deadline_ms,
            },
            keep_alive: KeepAlive(ms(config.keep_alive_ms.max(1))),
            counted: Counted {
                metrics: Arc::clone(&self.metrics),
                service: self.identity.service,
                clock: self.clock(),
            },
            catalogue: Catalogue {
                models,
                clock: self.clock(),
            },
            probed: Probed {
                health: runtime.health.clone(),
                shutdown: runtime.shutdown.clone(),
                metrics: config.metrics_enabled.then(|| runtime.metrics.clone()),
            },
        }
    }

    fn connections(&self) -> Bounds {
        Bounds {
            most_connections: self.config.max_connections,
            header_timeout: ms(self.config.header_timeout_ms),
            grace: ms(self.config.grace_ms),
        }
    }

    fn batch(&self, defaults: Arc<Defaults>, gate: Arc<Mutex<Gate>>) -> Batch {
        let (config, runtime, metrics) = (&self.config.batch, self.runtime, &self.metrics);
        let (bus, schemas) = (Arc::clone(&runtime.bus), Arc::clone(&runtime.schemas));
        Batch {
            intake: Intake {
                schemas: Arc::clone(&schemas),
                rules: LineRules {
                    defaults,
                    window: ms(config.window_ms),
                },
                gate,
                lines: metrics.batch_lines.clone(),
                service: self.identity.service,
                clock: self.clock(),
            },
            results: Results {
                winners: Winners::new(bus, Arc::clone(&schemas), config.remembered),
                schemas,
                superseded: metrics.superseded.clone(),
                handed_out: metrics.batch_results.clone(),
            },
            max_in_flight: config.max_in_flight,
            grace: ms(self.config.grace_ms),
        }
    }
}

fn ms(milliseconds: impl TryInto<u64>) -> Duration {
    Duration::from_millis(milliseconds.try_into().unwrap_or_default())
}
