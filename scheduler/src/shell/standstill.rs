//! A takeover that folds nothing: it asks the log again what it holds, and says on `/readyz` that nothing is decided.

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_bus::BusError;
use relay_runner::{Health, Held, Takeover, dependency};

use super::context::{Context, Signal};
use super::outbox::Outbox;
use crate::core::{At, Core, Input};

/// A takeover that has folded nothing for so long asks again, as often.
const ASKS_AFTER: Duration = Duration::from_secs(2);
/// After so long it is said.
const SAID_AFTER: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Standstill {
    health: Health,
    asked: Option<Instant>,
    said: bool,
}

impl Standstill {
    pub(super) fn new(health: Health) -> Self {
        Self {
            health,
            asked: None,
            said: false,
        }
    }

    /// Looks at a takeover, and does about it what is due.
    pub(super) fn look(
        &mut self,
        context: &Arc<Context>,
        takeover: &Takeover<Input>,
        core: &Core,
        outbox: &mut Outbox,
    ) {
        let clock = &context.runtime.clock;
        let still = takeover.stands_still(clock);
        if still < SAID_AFTER {
            self.over();
        } else {
            self.say(&context.pool, takeover, core, still);
        }
        let now = clock.instant();
        let asked_lately = self.asked.is_some_and(|asked| now - asked < ASKS_AFTER);
        if still >= ASKS_AFTER && !asked_lately {
            self.asked = Some(now);
            outbox.spawn(ask_again(Arc::clone(context)));
        }
    }

    fn say(&mut self, pool: &str, takeover: &Takeover<Input>, core: &Core, still: Duration) {
        let lacks = takeover.ends().and_then(|ends| core.lacks(ends));
        let place = lacks.map_or_else(String::new, |(input, At { partition, offset })| {
            format!(" and waits for {}-{partition}@{offset}", input.topic(pool))
        });
        let seconds = still.as_secs();
        let reason = format!(
            "the scheduler of pool `{pool}` rebuilds its queues, has read nothing for {seconds} s{place}; no request of the pool \
             is run before it has"
        );
        if !self.said {
            tracing::warn!(pool, reason, "the queues are not rebuilt");
        }
        self.said = true;
        self.health.down(dependency::SCHEDULER, reason);
    }

    /// What was said holds no longer.
    pub(super) fn over(&mut self) {
        if std::mem::take(&mut self.said) {
            self.health.up(dependency::SCHEDULER);
        }
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        self.over();
    }
}

/// Asks what the inputs hold by now.
async fn ask_again(context: Arc<Context>) {
    let signal = match held(&context).await {
        Ok(held) => Signal::Held(held),
        Err(error) => Signal::Failed(error.into()),
    };
    context.signal(signal).await;
}

async fn held(context: &Context) -> Result<Vec<Held<Input>>, BusError> {
    let mut held = Vec::new();
    for input in Input::LAST_FIRST {
        let ranges = context.log.ranges(&input.topic(&context.pool)).await?;
        held.extend(
            ranges
                .into_iter()
                .map(|(partition, range)| (input, partition.partition, range)),
        );
    }
    Ok(held)
}
