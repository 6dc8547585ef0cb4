//! What hears statuses on the control seam and looks each second at what they come to: the two watches of the health board stand on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_clock::Clock;
use relay_control::Control;
use relay_schemas::Record;

use crate::chance::Chance;
use crate::health::Health;
use crate::listen::listen_forever;
use crate::runtime::Runtime;

/// Pause between two looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Of a process only what it needs, since it never ends: the log ends with whoever holds it last.
pub(crate) struct StatusWatch {
    control: Arc<dyn Control>,
    clock: Clock,
    chance: Chance,
    health: Health,
}

impl StatusWatch {
    pub(crate) fn new(control: Arc<dyn Control>, runtime: Runtime) -> Self {
        let Runtime {
            clock,
            chance,
            health,
            ..
        } = runtime;
        Self {
            control,
            clock,
            chance,
            health,
        }
    }

    /// Hands each status on `subject` to `hears`, and the board to `looks` each second. Never returns.
    pub(crate) async fn run<S: Record>(
        self,
        subject: String,
        hears: impl Fn(S, Instant),
        mut looks: impl FnMut(&Health, Instant),
    ) {
        let Self {
            control,
            clock,
            chance,
            health,
        } = self;
        let statuses = listen_forever(control, subject, chance, |status| hears(status, clock.instant()));
        let looking = async {
            loop {
                looks(&health, clock.instant());
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::join!(statuses, looking);
    }
}
