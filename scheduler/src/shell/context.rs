//! What the tasks of one pool have in common, and what they signal to its loop.

use std::sync::Arc;

use parking_lot::Mutex;
use relay_control::Control;
use relay_runner::{Held, Identity, LogClient, Runtime};
use relay_schemas::{Cancel, FenceAnswer, RequestId, TimestampMs, WorkerStatus};
use tokio::sync::mpsc;

use super::metrics::PoolMetrics;
use crate::config::Config;
use crate::core::{Attempt, Core, Doubted, HandOver, Input};
use crate::deps::Deps;
use crate::error::Error;

/// Signals that may wait for the loop.
const SIGNALS: usize = 4_096;

/// See the module.
pub(super) struct Context {
    pub(super) config: Arc<Config>,
    pub(super) pool: String,
    pub(super) runtime: Runtime,
    pub(super) log: LogClient,
    pub(super) identity: Identity,
    pub(super) control: Arc<dyn Control>,
    pub(super) metrics: Mutex<PoolMetrics>,
    signals: mpsc::Sender<Signal>,
}

/// Something that a task signals to the loop.
pub(super) enum Signal {
    /// A worker's status.
    Status(WorkerStatus),
    /// A cancel.
    Cancel(Cancel),
    /// Work records are acknowledged.
    Dispatched(Vec<Attempt>),
    /// A work record never will be.
    Undispatchable(Attempt, String),
    /// Another pool's log has these.
    HandedOver(Vec<RequestId>),
    /// Another pool's log never will have it.
    CannotHandOver(RequestId, String),
    /// Another pool has no topic for it now.
    CannotHandOverYet(Box<HandOver>, String),
    /// Where outcomes ended after these leases came into doubt.
    OutcomesEnd(Vec<Doubted>, Vec<(i32, i64)>),
    /// An ingress answered a fence question, or none did.
    Fenced(Attempt, Option<FenceAnswer>),
    /// What the inputs hold by now, while a takeover stands still.
    Held(Vec<Held<Input>>),
    /// Whether the control seam works.
    Seam(bool),
    /// Something that waiting does not mend.
    Failed(Error),
}

impl Context {
    /// A context, and the signals for its loop.
    pub(super) fn new(
        config: Arc<Config>,
        deps: &Deps,
        pool: &str,
        metrics: PoolMetrics,
    ) -> (Arc<Self>, mpsc::Receiver<Signal>) {
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let runtime = deps.runtime.clone();
        let context = Self {
            log: LogClient::new(
                runtime.clone(),
                config.retry.backoff(&runtime.chance),
                config.feed_batches,
            ),
            config,
            pool: pool.to_owned(),
            runtime,
            identity: deps.identity.clone(),
            control: deps.control.clone(),
            metrics: Mutex::new(metrics),
            signals,
        };
        (Arc::new(context), receiver)
    }

    /// Now, by the steady clock; `core` is told what the wall clock says beside it. To be asked after what is folded was read: so
    /// what was stamped since a step meets a core that knows of it.
    pub(super) fn now(&self, core: &mut Core) -> TimestampMs {
        let (now, timeline) = self.runtime.clock.timeline();
        let wall_ms = timeline.wall(now).0;
        if core.follow_clock(timeline) {
            let pool = &self.pool;
            tracing::warn!(
                pool,
                wall_ms,
                "the wall clock was set; waits, leases and deadlines go on as before"
            );
        }
        now
    }

    /// Signals the loop what is repeated anyway: a loop with too much before it goes without.
    pub(super) fn hint(&self, signal: Signal) {
        let _ = self.signals.try_send(signal);
    }

    /// Signals the loop; one that has ended needs to know nothing.
    pub(super) async fn signal(&self, signal: Signal) {
        let _ = self.signals.send(signal).await;
    }
}
