//! The worker itself: what its parts share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use relay_clock::Clock;
use relay_control::Control;
use relay_runner::{Chance, Identity, Shutdown};
use relay_schemas::{InFlight, RequestId, Revoked};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::capacity::Lanes;
use crate::config::Config;
use crate::ledger::{Key, Ledger};
use crate::returned::GivenBack;
use crate::run::Runner;
use crate::stream::Replays;

/// How the shell reaches a run.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    /// Stops it.
    pub cancel: CancellationToken,
    /// Its tokens so far.
    pub tokens: Arc<AtomicU32>,
}

/// What all parts of a worker share.
pub struct Worker {
    /// As configured, slots as the models file has them.
    pub config: Config,
    /// Who it is.
    pub identity: Identity,
    /// Tells the time.
    pub clock: Clock,
    /// What is left to chance.
    pub chance: Chance,
    /// The control seam.
    pub control: Arc<dyn Control>,
    /// Drain and stop.
    pub shutdown: Shutdown,
    /// Runs requests.
    pub runner: Runner,
    /// Frames kept.
    pub replays: Replays,
    /// What is held.
    pub ledger: Mutex<Ledger<Handle>>,
    /// Runs given back.
    pub given_back: Mutex<GivenBack>,
    /// Partitions owned, by lane.
    pub partitions: Mutex<[Vec<i32>; 2]>,
    /// Rung when the status has changed.
    pub changed: Arc<Notify>,
}

impl Worker {
    /// Remembers a cancel, and stops what it means, if that runs.
    pub fn cancel(&self, request: &RequestId) {
        let now = self.clock.steady();
        for handle in self.ledger.lock().cancel(request, now) {
            handle.cancel.cancel();
        }
    }

    /// Remembers that a lease is over.
    pub fn revoke(&self, revoked: &Revoked) {
        let now = self.clock.steady();
        let Revoked {
            request_id,
            attempt,
            scheduler_epoch,
        } = revoked;
        self.ledger
            .lock()
            .revoke(request_id, *attempt, *scheduler_epoch, now);
    }

    /// Slots, as far as the declared models turn them.
    pub fn lanes(&self) -> Lanes {
        Lanes {
            short: self.config.short_slots,
            long: self.config.long_slots,
        }
    }

    /// What is held now.
    pub fn in_flight(&self) -> Vec<InFlight> {
        self.ledger
            .lock()
            .in_flight(|handle| handle.tokens.load(Ordering::Relaxed))
    }

    /// Announces that what is held has changed.
    pub fn tell(&self) {
        {
            // Set under the lock, so that of two who tell at once the later count stays.
            let ledger = self.ledger.lock();
            let (short, long) = ledger.lanes();
            let gauge = &self.runner.metrics.in_flight;
            gauge.with_label_values(&["short"]).set(short as i64);
            gauge.with_label_values(&["long"]).set(long as i64);
        }
        self.changed.notify_one();
    }
}

/// Holds an attempt in the books. Dropped without an acknowledgement (the process stops, a run panicked) it gives the attempt
/// up, so that the status stops claiming it and the scheduler can grant another.
pub struct Holding {
    worker: Arc<Worker>,
    key: Key,
}

impl Holding {
    /// From the admission on.
    pub fn new(worker: Arc<Worker>, key: Key) -> Self {
        worker.tell();
        Self { worker, key }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let now = self.worker.clock.steady();
        self.worker.ledger.lock().release(&self.key, now);
        self.worker.tell();
    }
}
