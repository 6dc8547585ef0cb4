//! What all processes of a simulation stand on, and how each of them is started and killed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_bus::simulated::{Column, Faults, SimulatedLog};
use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedOptions};
use relay_clock::{Clock, Life};
use relay_control::simulated::{self as control, SimulatedSeam};
use relay_control::{Control, InProcessOptions};
use relay_runner::{Chance, Identity, Runtime};
use relay_schemas::{InstanceId, Service};
use relay_store::simulated::SimulatedTables;
use relay_workers::simulated::{Pace, Scripts};
use tokio::task::JoinHandle;

use super::control::TracedControl;
use super::log::{Caller, TracedBus};
use super::schedule::Actor;
use super::time::Beginning;
use super::trace::Trace;

const MANIFEST: &str = include_str!("../../../deploy/topics.yaml");
/// The longest way to the log and back, of a message, and of a sync.
const WAY: Duration = Duration::from_millis(3);
/// After how long the brokers take a silent member for gone.
const SESSION: Duration = Duration::from_secs(6);
/// How answers come.
const PACE: Pace = Pace {
    most_pieces: 10,
    longest_gap: Duration::from_millis(60),
};

/// See the module.
pub(crate) struct Stand {
    pub log: SimulatedLog,
    pub tables: SimulatedTables,
    pub scripts: Scripts,
    pub trace: Trace,
    pub clock: Clock,
    seed: u64,
    seam: SimulatedSeam,
    lives: Mutex<BTreeMap<Actor, u32>>,
}

/// What a process is handed.
pub(crate) struct Handed {
    pub runtime: Runtime,
    pub identity: Identity,
    pub control: Arc<dyn Control>,
    pub life: Arc<Life>,
}

/// One life of a process.
pub(crate) struct Process {
    pub life: Arc<Life>,
    task: JoinHandle<()>,
    caller: Caller,
}

impl Process {
    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        self.caller.line(format_args!("is killed"));
        self.life.kill();
        self.task.abort();
    }
}

impl Stand {
    /// An empty log, empty tables, and nobody on them.
    pub fn new(seed: u64) -> Self {
        let began = Beginning::now();
        let clock = began.clock(Arc::default());
        let chance = Chance::seeded(seed);
        let manifest = Manifest::parse(&MANIFEST.replace("[default]", "[default, spare]"));
        let manifest = manifest.expect("it is part of this build");
        let log = SimulatedLog::open(chance.draw(), &manifest, EmbeddedOptions::default(), &clock);
        let log = log.expect("an empty disk can be opened");
        log.be(Faults {
            delay: WAY,
            sync: WAY,
            ..Faults::default()
        });
        let seam = SimulatedSeam::new(InProcessOptions::default(), clock.clone(), chance.draw());
        for actor in Actor::ALL {
            let late = control::Faults {
                delay: WAY,
                ..control::Faults::default()
            };
            seam.disturb(&actor.to_string(), late);
        }
        Self {
            log,
            tables: SimulatedTables::new(chance.draw()),
            scripts: Scripts::new(chance.draw(), PACE),
            trace: Trace::new(began),
            clock,
            seed,
            seam,
            lives: Mutex::default(),
        }
    }

    /// Starts a process that runs `service`.
    pub fn start<E, F>(&self, service: Service, actor: Actor, run: impl FnOnce(Handed) -> F) -> Process
    where
        E: fmt::Display + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let life = Arc::new(Life::default());
        let (caller, handed) = self.hand(service, actor, &life);
        caller.line(format_args!("starts"));
        let (running, told) = (run(handed), caller.clone());
        let task = tokio::spawn(async move {
            match running.await {
                Ok(()) => told.line(format_args!("ends")),
                Err(error) => told.line(format_args!("fails: {error}")),
            }
        });
        Process { life, task, caller }
    }

    /// What the next life of `actor` is handed.
    fn hand(&self, service: Service, actor: Actor, life: &Arc<Life>) -> (Caller, Handed) {
        let number = {
            let mut lives = self.lives.lock();
            let number = lives.entry(actor).or_default();
            *number += 1;
            *number
        };
        let name = actor.to_string();
        let caller = Caller {
            name: format!("{name}.{number}"),
            trace: self.trace.clone(),
        };
        let column = Column::Brokers { session: SESSION };
        let bus: Arc<dyn Bus> = Arc::new(self.log.process(&name, Arc::clone(life), column));
        let control = self.seam.process(&name, Arc::clone(life));
        let seed = u64::from(crc32fast::hash(caller.name.as_bytes())) << 32 ^ self.seed;
        let handed = Handed {
            identity: Identity {
                service,
                instance: InstanceId::new(name),
                epoch: self.clock.now().0,
            },
            control: Arc::new(TracedControl::new(Arc::new(control), caller.clone())),
            runtime: Runtime {
                clock: self.clock.clone(),
                chance: Chance::seeded(seed),
                ..Runtime::new(Arc::new(TracedBus::new(bus, caller.clone())))
            },
            life: Arc::clone(life),
        };
        (caller, handed)
    }
}
