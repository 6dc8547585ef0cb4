//! The time of a simulation: tokio's, which is paused and jumps to whatever is waited for next.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use relay_clock::{Clock, Passing};
use relay_schemas::TimestampMs;
use tokio::time::Instant;

/// When every simulation begins.
const START: TimestampMs = TimestampMs(1_700_000_000_000);

/// Since when a simulation runs. Its processes share it, and each has a wall clock of its own.
#[derive(Clone, Copy)]
pub(crate) struct Beginning(Instant);

impl Beginning {
    /// Now, in a runtime whose time is paused.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks tokio, whose time is the simulation's"
    )]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// A process's clock; its wall clock is ahead by what `ahead_ms` says.
    pub fn clock(self, ahead_ms: Arc<AtomicI64>) -> Clock {
        let paused = Paused {
            began: self.0,
            ahead_ms,
        };
        Clock::driven(START, paused)
    }

    /// How far the simulation is.
    pub fn passed(self) -> Duration {
        self.0.elapsed()
    }
}

struct Paused {
    began: Instant,
    ahead_ms: Arc<AtomicI64>,
}

impl Passing for Paused {
    fn passed(&self) -> Duration {
        Beginning(self.began).passed()
    }

    fn wall_ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }
}
