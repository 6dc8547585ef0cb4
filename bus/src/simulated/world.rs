//! The log that all processes share, chance, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use relay_clock::{Clock, Life};
use relay_log::simulated::SimulatedDisk;
use tokio::task::AbortHandle;

use super::faults::{Faults, Happened};
use crate::topics::Manifest;
use crate::{BusError, EmbeddedBus, EmbeddedOptions};

/// Bytes that the disk writes at once or not at all.
const PAGE: usize = 4096;

/// How the log falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// By `kill -9`: what it wrote is still there.
    Killed,
    /// With the power: of what was not synced any part is left. Brokers promise more than that: they are replicated.
    PowerCut,
}

pub(super) struct World {
    pub disk: SimulatedDisk,
    pub clock: Clock,
    manifest: Manifest,
    options: EmbeddedOptions,
    chance: Arc<Mutex<SmallRng>>,
    faults: Arc<Mutex<Faults>>,
    happened: Mutex<BTreeMap<Happened, u32>>,
    running: Mutex<Running>,
    /// Frozen while the log stands still, and with it every call.
    pub moving: Life,
    /// Frozen while there is no log.
    pub up: Life,
}

#[derive(Default)]
struct Running {
    /// Counts how often the log rose.
    rise: u64,
    bus: Option<Arc<EmbeddedBus>>,
    inline: Option<AbortHandle>,
}

/// The log since it rose last.
#[derive(Clone)]
pub(super) struct Risen {
    pub bus: Arc<EmbeddedBus>,
    pub rise: u64,
}

impl World {
    /// With an empty log that has not risen yet.
    pub(super) fn new(seed: u64, manifest: &Manifest, options: EmbeddedOptions, clock: &Clock) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        Self {
            disk: SimulatedDisk::new(chance.random(), PAGE),
            clock: clock.clone(),
            manifest: manifest.clone(),
            options,
            chance: Arc::new(Mutex::new(chance)),
            faults: Arc::default(),
            happened: Mutex::default(),
            running: Mutex::default(),
            moving: Life::default(),
            up: Life::default(),
        }
    }

    pub(super) fn rise(&self) -> Result<(), BusError> {
        // Another one each time, as the log asks for.
        let salt = self.chance.lock().random();
        let (bus, inline) = EmbeddedBus::open_inline(
            self.disk.clone(),
            "a simulated disk",
            &self.manifest,
            self.options.clone(),
            &self.clock,
            salt,
        )?;
        let (faults, chance) = (Arc::clone(&self.faults), Arc::clone(&self.chance));
        let slow = move || part_of(faults.lock().sync, &chance);
        let running = &mut *self.running.lock();
        running.rise += 1;
        running.inline = Some(tokio::spawn(inline.run(slow)).abort_handle());
        running.bus = Some(Arc::new(bus));
        self.up.thaw();
        Ok(())
    }

    pub(super) fn fall(&self, how: Fall) {
        self.up.freeze();
        let (bus, inline) = {
            let running = &mut *self.running.lock();
            (running.bus.take(), running.inline.take())
        };
        match how {
            Fall::Killed => self.disk.kill(),
            Fall::PowerCut => self.disk.cut_power(),
        }
        if let Some(inline) = inline {
            inline.abort();
        }
        if let Some(bus) = bus {
            bus.end();
        }
    }

    pub(super) fn be(&self, faults: Faults) {
        *self.faults.lock() = faults;
    }

    pub(super) fn take_happened(&self) -> BTreeMap<Happened, u32> {
        std::mem::take(&mut self.happened.lock())
    }

    pub(super) fn faults(&self) -> Faults {
        *self.faults.lock()
    }

    /// Whether what comes to pass `in_thousand` times of a thousand does so now.
    pub(super) fn chance(&self, in_thousand: u32) -> bool {
        in_thousand > 0 && self.chance.lock().random_range(0..1000) < in_thousand
    }

    /// One of so many.
    pub(super) fn one_of(&self, count: usize) -> usize {
        self.chance.lock().random_range(0..count.max(1))
    }

    /// How long something takes that may be delayed.
    pub(super) fn delay(&self) -> Duration {
        part_of(self.faults().delay, &self.chance)
    }

    pub(super) fn count(&self, what: Happened) {
        *self.happened.lock().entry(what).or_default() += 1;
    }

    /// The log, if there is one.
    pub(super) fn risen(&self) -> Option<Risen> {
        let running = self.running.lock();
        let bus = running.bus.clone()?;
        Some(Risen {
            bus,
            rise: running.rise,
        })
    }

    /// Whether the log has fallen since.
    pub(super) fn has_fallen(&self, rise: u64) -> bool {
        let running = self.running.lock();
        running.rise != rise || running.bus.is_none()
    }
}

/// Any part of `most`, in whole milliseconds, as the runtime counts.
fn part_of(most: Duration, chance: &Mutex<SmallRng>) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    if most == 0 {
        return Duration::ZERO;
    }
    Duration::from_millis(chance.lock().random_range(0..=most))
}
