//! The whole log, for who makes the world: its processes, and what becomes of them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use relay_clock::{Clock, Life};
use relay_log::simulated::SimulatedDisk;

use super::bus::ProcessBus;
use super::faults::{Faults, Happened};
use super::process::{Column, Process};
use super::world::{Fall, World};
use crate::topics::Manifest;
use crate::{BusError, EmbeddedOptions};

/// The log, its disk, and what goes wrong. Clones are the same log.
#[derive(Clone)]
pub struct SimulatedLog {
    world: Arc<World>,
    processes: Arc<Mutex<Vec<Weak<Process>>>>,
}

impl SimulatedLog {
    /// An empty log with the topics of `manifest`. Needs the runtime that it lives on.
    ///
    /// # Errors
    /// As [`EmbeddedBus::open_on`].
    pub fn open(
        seed: u64,
        manifest: &Manifest,
        options: EmbeddedOptions,
        clock: &Clock,
    ) -> Result<Self, BusError> {
        let log = Self {
            world: Arc::new(World::new(seed, manifest, options, clock)),
            processes: Arc::default(),
        };
        log.rise()?;
        Ok(log)
    }

    /// The log as the process `name` meets it for as long as it lives.
    pub fn process(&self, name: &str, life: Arc<Life>, column: Column) -> ProcessBus {
        let process = Arc::new(Process::new(Arc::clone(&self.world), name, life, column));
        let mut processes = self.processes.lock();
        processes.retain(|process| process.strong_count() > 0);
        processes.push(Arc::downgrade(&process));
        ProcessBus::new(process)
    }

    /// From now on this goes wrong.
    pub fn be(&self, faults: Faults) {
        self.world.be(faults);
    }

    /// What came to pass since this was asked last, and how often.
    pub fn take_happened(&self) -> BTreeMap<Happened, u32> {
        self.world.take_happened()
    }

    /// The disk, which can be full, fail and forget by itself.
    pub fn disk(&self) -> &SimulatedDisk {
        &self.world.disk
    }

    /// The log stands still: whatever it is asked waits, until [`SimulatedLog::go_on`].
    pub fn stand_still(&self) {
        self.world.moving.freeze();
    }

    /// The log goes on.
    pub fn go_on(&self) {
        self.world.moving.thaw();
    }

    /// Takes the process `name` off the net, or back on it. Brokers take one that is silent for so long as
    /// [`Column::Brokers`] says for gone.
    pub fn reach(&self, name: &str, reachable: bool) {
        for process in self.living().iter().filter(|process| process.name == name) {
            if reachable {
                process.line.thaw();
            } else {
                process.line.freeze();
            }
        }
    }

    /// The log falls, and with it every process that it lives in; to the others it is out of reach until it rises.
    pub fn fall(&self, how: Fall) {
        for process in self.living() {
            if !process.is_far() {
                process.life.kill();
            }
        }
        self.world.fall(how);
    }

    /// The log rises from what its disk holds.
    ///
    /// # Errors
    /// As [`EmbeddedBus::open_on`]; it can be tried again.
    pub fn rise(&self) -> Result<(), BusError> {
        self.world.rise()
    }

    /// Turns a bit of `value` where it lies on the disk, and lets everything be read from there; false where it does not lie there.
    /// What is still in the log's memory is delivered whole.
    pub fn damage(&self, value: &[u8]) -> bool {
        let disk = &self.world.disk;
        let found = disk.names().into_iter().find_map(|name| {
            let bytes = disk.contents(&name)?;
            let at = bytes.windows(value.len()).position(|window| window == value)?;
            Some((name, at as u64))
        });
        let Some((name, at)) = found.filter(|_| !value.is_empty()) else {
            return false;
        };
        let (byte, bit) = (self.world.one_of(value.len()) as u64, self.world.one_of(8) as u8);
        let turned = disk.flip(&name, at + byte, bit);
        disk.evict();
        turned
    }

    fn living(&self) -> Vec<Arc<Process>> {
        self.processes.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
