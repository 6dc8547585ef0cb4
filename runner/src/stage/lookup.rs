//! Looks unknown schemas up in `relay.schemas.v1`, once for all records that wait for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_schemas::{Fingerprint, Registry};
use tokio::sync::Mutex;

use crate::runtime::Runtime;
use crate::schemas::refresh_schemas;
use relay_bus::{Bus, BusError};
use relay_clock::Clock;

/// How long a fingerprint that was found nowhere is not looked for again.
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// Most such fingerprints remembered.
const MOST: usize = 1_024;

pub(super) struct Lookup {
    bus: Arc<dyn Bus>,
    clock: Clock,
    registry: Arc<Registry>,
    /// Found nowhere, and when. Its lock lets one look while the others wait for what it finds.
    nowhere: Mutex<HashMap<Fingerprint, Instant>>,
}

impl Lookup {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self {
            bus: runtime.bus.clone(),
            clock: runtime.clock.clone(),
            registry: runtime.schemas.clone(),
            nowhere: Mutex::default(),
        }
    }

    /// Reads the schema topic unless `fingerprint` is known by now, or was found missing a moment ago.
    pub(super) async fn look_up(&self, fingerprint: Fingerprint) -> Result<(), BusError> {
        let mut nowhere = self.nowhere.lock().await;
        let recently = |at: &Instant| self.clock.since(*at) < FORGET_AFTER;
        if self.registry.knows(fingerprint) || nowhere.get(&fingerprint).is_some_and(recently) {
            return Ok(());
        }
        refresh_schemas(&*self.bus, &self.registry).await?;
        if !self.registry.knows(fingerprint) {
            if nowhere.len() >= MOST {
                nowhere.clear();
            }
            nowhere.insert(fingerprint, self.clock.instant());
        }
        Ok(())
    }
}
