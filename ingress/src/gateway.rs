//! What all parts of one ingress share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use relay_control::Control;
use relay_runner::{Identity, Runtime};
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::heard::Heard;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::refused::Refused;
use crate::routes::Routes;

/// One ingress. Always behind an `Arc`.
pub struct Gateway {
    /// Its settings.
    pub config: Config,
    /// Log, health, metrics, shutdown.
    pub runtime: Runtime,
    /// Who it is.
    pub identity: Identity,
    /// Replies, statuses, cancels.
    pub control: Arc<dyn Control>,
    /// Which answers it waits for.
    pub routes: Routes,
    /// How much it holds.
    pub limits: Arc<Limits>,
    /// What it counts.
    pub metrics: Metrics,
    /// What it heard of workers and schedulers.
    pub heard: Mutex<Heard>,
    /// Where refusals are recorded.
    pub refused: Refused,
    /// What goes on when a client is gone.
    pub tasks: TaskTracker,
    /// Whether reply frames reach it.
    listening: AtomicBool,
    /// Whether it reads outcomes.
    following: AtomicBool,
    /// Whether the log answered when it was last looked at.
    bus_answers: AtomicBool,
    /// Whether the control seam answered when it was last looked at.
    control_answers: AtomicBool,
}

/// Names of what an ingress depends on, as `/readyz` shows them.
pub mod dependency {
    /// The log.
    pub const BUS: &str = "bus";
    /// The control seam.
    pub const CONTROL: &str = "control";
    /// The reply subscription on it.
    pub const REPLIES: &str = "replies";
    /// The log's outcomes, read on and on.
    pub const OUTCOMES: &str = "outcomes";
}

impl Gateway {
    /// An ingress that is not ready yet: nothing has answered so far.
    ///
    /// # Errors
    /// If its metrics are registered already.
    pub fn new(
        config: Config,
        runtime: Runtime,
        identity: Identity,
        control: Arc<dyn Control>,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(&runtime.metrics)?;
        for name in [
            dependency::BUS,
            dependency::CONTROL,
            dependency::REPLIES,
            dependency::OUTCOMES,
        ] {
            runtime.health.down(name, "not reached yet");
        }
        let refused = Refused::new(config.refused_per_second);
        Ok(Arc::new(Self {
            limits: Limits::new(config.max_in_flight, config.max_in_flight_per_tenant),
            routes: Routes::default(),
            heard: Mutex::new(Heard::new(config.worker_stale_ms, &config.batch)),
            refused,
            metrics,
            runtime,
            identity,
            control,
            tasks: TaskTracker::new(),
            listening: AtomicBool::new(false),
            following: AtomicBool::new(false),
            bus_answers: AtomicBool::new(false),
            control_answers: AtomicBool::new(false),
            config,
        }))
    }

    /// Longest wait for an answer over the control seam.
    pub fn ask_timeout(&self) -> Duration {
        Duration::from_millis(self.config.ask_timeout_ms)
    }

    /// Whether answers reach this ingress now: frames and outcomes. A subscription outlives a lost connection, so the seam is
    /// looked at as well.
    pub fn is_listening(&self) -> bool {
        let frames = self.listening.load(Ordering::Acquire) && self.control_answers.load(Ordering::Acquire);
        frames && self.following.load(Ordering::Acquire)
    }

    /// Whether the log answered when it was last looked at.
    pub fn bus_answers(&self) -> bool {
        self.bus_answers.load(Ordering::Acquire)
    }

    /// A dependency was looked at; logged when that is news.
    pub fn report(&self, name: &'static str, result: Result<(), String>) {
        let health = &self.runtime.health;
        let was_down = health.all().get(name).is_some_and(Option::is_some);
        match name {
            dependency::BUS => self.bus_answers.store(result.is_ok(), Ordering::Release),
            dependency::CONTROL => self.control_answers.store(result.is_ok(), Ordering::Release),
            _ => {}
        }
        match result {
            Ok(()) => {
                if was_down {
                    tracing::info!(dependency = name, "a dependency answers");
                }
                health.up(name);
            }
            Err(reason) => {
                if !was_down {
                    tracing::warn!(dependency = name, reason, "a dependency is missing");
                }
                health.down(name, reason);
            }
        }
    }

    /// Says whether reply frames reach this ingress.
    pub fn set_listening(&self, listening: bool, why: &str) {
        self.set(&self.listening, dependency::REPLIES, listening, why);
    }

    /// Says whether this ingress reads how requests end.
    pub fn set_following(&self, following: bool, why: &str) {
        self.set(&self.following, dependency::OUTCOMES, following, why);
    }

    fn set(&self, flag: &AtomicBool, name: &'static str, up: bool, why: &str) {
        let news = flag.swap(up, Ordering::AcqRel) != up;
        match (up, news) {
            (true, true) => {
                tracing::info!(dependency = name, "answers reach this gateway");
                self.runtime.health.up(name);
            }
            (true, false) => {}
            (false, _) => {
                if news {
                    tracing::warn!(
                        dependency = name,
                        reason = why,
                        "answers do not reach this gateway"
                    );
                }
                self.runtime.health.down(name, why);
            }
        }
    }
}
