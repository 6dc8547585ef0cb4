//! Puts the parts of an ingress together.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use relay_bus::BusError;
use relay_clock::Clock;
use relay_control::{Control, subjects};
use relay_runner::{Chance, ConnectionBounds, Identity, Runtime, Winners, listen_forever};
use relay_schemas::{PolicyStatus, PoolStatus, WorkerStatus};
use tokio_util::task::TaskTracker;

use crate::admission::accept::{Acceptor, Refusing};
use crate::admission::admit::{Admission, Following};
use crate::admission::limits::{Limits, Most};
use crate::admission::refusals::{Budget, Refusals};
use crate::admission::request::Rules;
use crate::answers::abandoned::Abandoned;
use crate::answers::outcomes::Outcomes;
use crate::answers::questions::Questions;
use crate::answers::replies::{Replies, answer_fences};
use crate::answers::routes::Routes;
use crate::answers::seen::Seen;
use crate::answers::waiter::Waiting;
use crate::batch::Batch;
use crate::batch::gate::Gate;
use crate::batch::intake::Intake;
use crate::batch::line::LineRules;
use crate::batch::repeats::Repeats;
use crate::batch::results::Results;
use crate::batch::turns::Turns;
use crate::cluster::models::Models;
use crate::cluster::names::Names;
use crate::cluster::peers::Peers;
use crate::cluster::probes;
use crate::cluster::readiness::Readiness;
use crate::cluster::served;
use crate::cluster::sweeper::Sweeper;
use crate::config::Config;
use crate::error::Error;
use crate::http::app::App;
use crate::http::operation::Door;
use crate::http::state::{Bodies, Catalogue, Counted, Deadlines, KeepAlive};
use crate::ids::Ids;
use crate::labels::Labels;
use crate::metrics::Metrics;

/// The parts of an ingress.
pub struct Ingress {
    /// What the handlers share.
    pub app: App,
    /// Bounds of connections.
    pub connections: ConnectionBounds,
    /// The batch half, where it is switched on.
    pub batch: Option<Batch>,
    /// What goes on as long as the ingress does; never completes.
    pub background: BoxFuture<'static, BusError>,
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
        seen: Arc::default(),
        tasks: TaskTracker::new(),
        ids: Ids::new(runtime.clock.clone(), runtime.chance.clone()),
    };
    let rules = Arc::new(config.rules());
    let models = Arc::new(Mutex::new(Models::new(config.cluster.worker_stale)));
    let names = Arc::new(Mutex::new(Names::new(config.cluster.worker_stale)));
    let catalogue = Catalogue {
        models: Arc::clone(&models),
        names,
        clock: runtime.clock.clone(),
    };
    let gate = Gate::new(&config.batch);
    let salt = runtime.chance.draw();
    let turns = Turns::new(gate, Arc::clone(&models), config.batch.put_off, salt);
    let turns = Arc::new(turns);
    let waiting = ground.waiting();
    let peers = ground.peers();
    let background = ground.background(&waiting.routes, &catalogue, &turns, &peers);
    Ok(Ingress {
        app: ground.app(waiting, &rules, catalogue, peers),
        connections: ground.connections(),
        batch: config.batch.enabled.then(|| ground.batch(rules, turns)),
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
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    ids: Ids,
}

impl Ground<'_> {
    fn clock(&self) -> Clock {
        self.runtime.clock.clone()
    }

    fn chance(&self) -> Chance {
        self.runtime.chance.clone()
    }

    fn questions(&self) -> Questions {
        Questions {
            control: Arc::clone(self.control),
            timeout: self.config.timeouts.ask,
            asked: self.metrics.questions.clone(),
            clock: self.clock(),
        }
    }

    fn waiting(&self) -> Arc<Waiting> {
        let routes = Arc::new(Routes::new(self.chance().draw()));
        let questions = self.questions();
        let abandoned = Abandoned {
            control: Arc::clone(self.control),
            routes: Arc::clone(&routes),
            questions: questions.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.runtime.shutdown.clone(),
            pause: at_least(self.config.answers.cancel_every, 1),
            gone: self.metrics.gone.clone(),
            clock: self.clock(),
        };
        Arc::new(Waiting {
            routes,
            questions,
            abandoned,
            grace: self.config.deadlines.grace,
            shutdown: self.runtime.shutdown.clone(),
            clock: self.clock(),
        })
    }

    fn background(
        &self,
        routes: &Arc<Routes>,
        catalogue: &Catalogue,
        turns: &Arc<Turns>,
        peers: &Arc<Peers>,
    ) -> BoxFuture<'static, BusError> {
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
            chance: self.chance(),
        };
        let outcomes = Outcomes {
            runtime: self.runtime.clone(),
            routes: Arc::clone(routes),
            seen: Arc::clone(&self.seen),
            readiness: Arc::clone(&readiness),
        };
        let (routes, catalogue, turns) = (Arc::clone(routes), catalogue.clone(), Arc::clone(turns));
        let sweeper = Sweeper {
            bus: Arc::clone(&bus),
            schemas: Arc::clone(&self.runtime.schemas),
            identity: identity.clone(),
            questions: self.questions(),
            swept: self.metrics.swept.clone(),
            config: self.config.cluster.sweep.clone(),
            clock: self.clock(),
            chance: self.chance(),
        };
        let peers = Arc::clone(peers);
        let looks = probes::Looks {
            every: at_least(self.config.cluster.probe_every, 10),
            patience: at_least(self.config.cluster.probe_patience, 10),
        };
        let (workers, pools) = (subjects::worker_status("*"), subjects::pool_status("*"));
        let served = served::watch(
            Arc::clone(&catalogue.models),
            Arc::clone(&catalogue.names),
            self.config.defaults.model.clone(),
            self.runtime.health.clone(),
            self.clock(),
        );
        let (policies, clock, chance) = (subjects::POLICY_STATUS.to_owned(), self.clock(), self.chance());
        async move {
            let rest = async {
                tokio::join!(
                    replies.listen(),
                    answer_fences(Arc::clone(&control), &identity, routes, chance.clone()),
                    peers.attend(),
                    listen_forever(
                        Arc::clone(&control),
                        workers,
                        chance.clone(),
                        |status: WorkerStatus| {
                            catalogue.models.lock().on_status(status, clock.steady());
                        }
                    ),
                    listen_forever(
                        Arc::clone(&control),
                        policies,
                        chance.clone(),
                        |status: PolicyStatus| {
                            catalogue.names.lock().on_status(status, clock.steady());
                        }
                    ),
                    listen_forever(
                        Arc::clone(&control),
                        pools,
                        chance.clone(),
                        |status: PoolStatus| {
                            turns.on_status(status, clock.steady());
                        }
                    ),
                    probes::run(bus, Arc::clone(&control), readiness, looks),
                    served,
                )
            };
            tokio::select! {
                biased;
                error = outcomes.follow() => error,
                error = sweeper.run() => error,
                _ = rest => unreachable!("the other tasks never return"),
            }
        }
        .boxed()
    }

    fn peers(&self) -> Arc<Peers> {
        Arc::new(Peers {
            control: Arc::clone(self.control),
            identity: self.identity.clone(),
            keys: Arc::default(),
            claims: Mutex::default(),
            timeout: self.config.timeouts.ask,
            clock: self.clock(),
            chance: self.chance(),
        })
    }

    fn admission(&self, waiting: Arc<Waiting>, peers: Arc<Peers>) -> Admission {
        let (config, limits) = (self.config, &self.config.limits);
        let [patience, keyed_patience] = config.answers.patience();
        Admission {
            limits: Limits::new(Most {
                all: limits.max_in_flight,
                of_tenant: limits.max_in_flight_per_tenant,
            }),
            bodies: Limits::new(limits.most_bodies()),
            unread: Limits::new(Most {
                all: limits.max_unread_in_all.as_usize(),
                of_tenant: limits.max_unread_per_tenant.as_usize(),
            }),
            keys: Arc::clone(&peers.keys),
            peers,
            readiness: Arc::clone(&self.readiness),
            shutdown: self.runtime.shutdown.clone(),
            acceptor: Acceptor {
                bus: Arc::clone(&self.runtime.bus),
                timeout: config.timeouts.accept,
                retry_after: limits.retry_after,
                waited: self.metrics.accept.clone(),
                service: self.identity.service,
                refusing: Refusing::default(),
                clock: self.clock(),
            },
            waiting,
            seen: Arc::clone(&self.seen),
            following: Following {
                patience,
                keyed_patience,
                most_unread: limits.max_unread.as_usize(),
            },
            identity: self.identity.clone(),
            retry_after: limits.retry_after,
            clock: self.clock(),
            ids: self.ids.clone(),
        }
    }

    fn app(&self, waiting: Arc<Waiting>, rules: &Arc<Rules>, catalogue: Catalogue, peers: Arc<Peers>) -> App {
        let (config, runtime) = (self.config, self.runtime);
        App {
            door: Door {
                admission: Arc::new(self.admission(waiting, peers)),
                rules: Arc::clone(rules),
                bodies: Bodies {
                    most_bytes: config.limits.max_body.as_usize(),
                    timeout: config.timeouts.body,
                    retry_after: config.limits.retry_after,
                },
                keep_alive: KeepAlive(at_least(config.timeouts.keep_alive, 1)),
            },
            refusals: Arc::new(Refusals {
                bus: Arc::clone(&runtime.bus),
                budget: Budget::new(config.limits.refusals_per_second),
                run: self.identity.run(0),
                tasks: self.tasks.clone(),
                count: self.metrics.refused.clone(),
                ids: self.ids.clone(),
                clock: self.clock(),
            }),
            deadlines: Deadlines {
                default: config.deadlines.default,
                longest: config.deadlines.longest,
            },
            counted: Counted {
                metrics: Arc::clone(&self.metrics),
                labels: Arc::new(Labels::new(
                    config.limits.metric_tenants,
                    Arc::clone(&catalogue.names),
                )),
                service: self.identity.service,
                clock: self.clock(),
            },
            catalogue,
        }
    }

    fn connections(&self) -> ConnectionBounds {
        ConnectionBounds {
            most_connections: self.config.limits.max_connections,
            headers: self.config.timeouts.headers,
            idle: self.config.timeouts.idle,
            unread: self.config.timeouts.unread,
        }
    }

    fn batch(&self, rules: Arc<Rules>, turns: Arc<Turns>) -> Batch {
        let (config, runtime, metrics) = (&self.config.batch, self.runtime, &self.metrics);
        let (bus, schemas) = (Arc::clone(&runtime.bus), Arc::clone(&runtime.schemas));
        Batch {
            intake: Intake {
                schemas: Arc::clone(&schemas),
                rules: LineRules {
                    body: rules,
                    window: config.window,
                    longest_wait: config.longest_wait,
                },
                turns,
                repeats: Repeats::new(self.questions(), runtime.health.clone()),
                bus: Arc::clone(&bus),
                lines: metrics.batch_lines.clone(),
                shutdown: runtime.shutdown.clone(),
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
        }
    }
}

/// A pause that lets others work, whatever was configured.
fn at_least(pause: Duration, milliseconds: u64) -> Duration {
    pause.max(Duration::from_millis(milliseconds))
}
