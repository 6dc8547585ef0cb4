//! Small parts that handlers share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_schemas::Service;

use crate::cluster::models::Models;
use crate::cluster::names::{Names, runnable};
use crate::labels::Labels;
use crate::metrics::Metrics;

/// What bounds one body.
#[derive(Debug, Clone, Copy)]
pub struct Bodies {
    /// Largest body, bytes.
    pub most_bytes: usize,
    /// Longest time for it.
    pub timeout: Duration,
    /// What a client is told to wait for whose body there is no room.
    pub retry_after: Duration,
}

/// The deadlines that a call may have.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Of a call that sets none.
    pub default: Duration,
    /// The longest.
    pub longest: Duration,
}

/// Silence after which a stream gets a comment.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive(pub Duration);

/// What exchanges are counted by.
#[derive(Clone)]
pub struct Counted {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What they tell apart.
    pub labels: Arc<Labels>,
    /// For crash points.
    pub service: Service,
    /// For durations.
    pub clock: Clock,
}

/// The models that are there now.
#[derive(Clone)]
pub struct Catalogue {
    /// As the workers tell.
    pub models: Arc<Mutex<Models>>,
    /// As the planners tell.
    pub names: Arc<Mutex<Names>>,
    /// Which workers are live.
    pub clock: Clock,
}

impl Catalogue {
    /// Looks at the names that can be run now, with when each was first seen.
    pub fn look<T>(&self, at: impl FnOnce(&BTreeMap<&str, i64>) -> T) -> T {
        let (models, names) = (self.models.lock(), self.names.lock());
        at(&runnable(&names.candidates(), &models.live(self.clock.steady())))
    }
}
