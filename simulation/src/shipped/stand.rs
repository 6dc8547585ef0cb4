//! What all processes of a simulation stand on, and how each of them is started and killed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use relay_bus::topics::Manifest;
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions};
use relay_clock::{Clock, Life};
use relay_control::simulated::SimulatedSeam;
use relay_control::{Control, InProcessOptions};
use relay_log::simulated::SimulatedDisk;
use relay_runner::{Chance, Identity, Runtime};
use relay_schemas::{InstanceId, Service};
use tokio::task::JoinHandle;

use super::control::TracedControl;
use super::log::{Caller, TracedBus};
use super::time::Beginning;
use super::trace::Trace;

const MANIFEST: &str = include_str!("../../../deploy/topics.yaml");
/// Bytes of a page of the disk.
const PAGE: usize = 4096;
/// Longest time that a sync takes, milliseconds.
const LONGEST_SYNC_MS: u32 = 5;

/// See the module.
pub(crate) struct Stand {
    pub log: Arc<dyn Bus>,
    pub clock: Clock,
    pub trace: Trace,
    /// What the driver leaves to chance.
    pub chance: Chance,
    seed: u64,
    began: Beginning,
    seam: SimulatedSeam,
    lives: parking_lot::Mutex<BTreeMap<String, u32>>,
}

/// What a process is handed.
pub(crate) struct Handed {
    pub runtime: Runtime,
    pub identity: Identity,
    pub control: Arc<dyn Control>,
}

/// One life of a process.
pub(crate) struct Process {
    life: Arc<Life>,
    task: JoinHandle<()>,
    name: String,
    trace: Trace,
}

impl Process {
    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        self.trace.line(&self.name, format_args!("is killed"));
        self.life.kill();
        self.task.abort();
    }
}

impl Stand {
    /// An empty log, and nobody on it.
    pub fn new(seed: u64) -> Self {
        let began = Beginning::now();
        let clock = began.clock(Arc::default());
        let chance = Chance::seeded(seed);
        let manifest = Manifest::parse(&MANIFEST.replace("[default]", "[default, spare]"));
        let manifest = manifest.expect("it is part of this build");
        let opened = EmbeddedBus::open_inline(
            SimulatedDisk::new(chance.draw(), PAGE),
            "a simulated disk",
            &manifest,
            EmbeddedOptions::default(),
            &clock,
            chance.draw(),
        );
        let (log, inline) = opened.expect("an empty disk can be opened");
        let slow = chance.clone();
        tokio::spawn(inline.run(move || {
            let ms = slow.draw::<u32>() % (LONGEST_SYNC_MS + 1);
            std::time::Duration::from_millis(ms.into())
        }));
        Self {
            log: Arc::new(log),
            seam: SimulatedSeam::new(InProcessOptions::default(), clock.clone(), chance.draw()),
            clock,
            trace: Trace::new(began),
            chance,
            seed,
            began,
            lives: parking_lot::Mutex::default(),
        }
    }

    /// What the next life of `name` is handed.
    pub fn hand(&self, service: Service, name: &str, life: &Arc<Life>) -> (String, Handed) {
        let number = {
            let mut lives = self.lives.lock();
            let lives = lives.entry(name.to_owned()).or_default();
            *lives += 1;
            *lives
        };
        let chance = Chance::seeded(self.seed ^ seed_of(name, number));
        let caller = Caller {
            name: format!("{name}.{number}"),
            life: Arc::clone(life),
            trace: self.trace.clone(),
            chance: Chance::seeded(chance.draw()),
        };
        let bus = TracedBus::new(Arc::clone(&self.log), caller.clone());
        let control = self.seam.process(name, Arc::clone(life));
        let clock = self.began.clock(Arc::<AtomicI64>::default());
        let handed = Handed {
            identity: Identity {
                service,
                instance: InstanceId::new(name),
                epoch: clock.now().0,
            },
            control: Arc::new(TracedControl::new(Arc::new(control), caller.clone())),
            runtime: Runtime {
                clock,
                chance,
                ..Runtime::new(Arc::new(bus))
            },
        };
        (caller.name, handed)
    }

    /// Starts a process that runs `service`.
    pub fn start<E, F>(&self, service: Service, name: &str, run: impl FnOnce(Handed) -> F) -> Process
    where
        E: fmt::Display + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let life = Arc::new(Life::default());
        let (name, handed) = self.hand(service, name, &life);
        self.trace.line(&name, format_args!("starts"));
        let running = run(handed);
        let (trace, own) = (self.trace.clone(), name.clone());
        let task = tokio::spawn(async move {
            match running.await {
                Ok(()) => trace.line(&own, format_args!("ends")),
                Err(error) => trace.line(&own, format_args!("fails: {error}")),
            }
        });
        Process {
            life,
            task,
            name,
            trace: self.trace.clone(),
        }
    }
}

fn seed_of(name: &str, life: u32) -> u64 {
    u64::from(crc32fast::hash(name.as_bytes())) << 32 | u64::from(life)
}
