//! Opens a core on the newest snapshot, and the inputs from where it needs them.
//!
//! Work and `ready` are folded to where they ended at the election before outcomes are: an outcome lies behind the work it
//! ends, so each finds its lease and is charged exactly once.

use std::time::{Duration, Instant};

use relay_bus::{BusError, Partition};
use relay_runner::{Opened, Tail, Takeover};
use relay_schemas::SchedulerSnapshot;

use super::context::Context;
use crate::core::{Core, Counts, Input};

/// The inputs, opened where a core needs them.
pub(super) struct Inputs {
    /// What is offered.
    pub(super) ready: Tail,
    /// Both work topics.
    pub(super) work: Tail,
    /// What ended.
    pub(super) outcomes: Tail,
}

/// Opens a core on a snapshot, with its inputs.
pub(super) async fn open(
    context: &Context,
    began: Instant,
    snapshot: Option<&SchedulerSnapshot>,
) -> Result<(Core, Inputs, Takeover<Input>), BusError> {
    let mut core = Core::new((*context.config).clone(), &context.pool, context.identity.run(0));
    core.follow_clock(context.runtime.clock.timeline().1);
    if let Some(snapshot) = snapshot {
        core.restore(snapshot);
    }
    let (takeover, opened) = Takeover::begin(&context.log, began, &mut core, &Input::LAST_FIRST).await?;
    let from = |inputs: &[Input]| -> Vec<(Partition, i64)> {
        let wanted = opened
            .iter()
            .filter(|Opened { input, .. }| inputs.contains(input));
        wanted.flat_map(|opened| opened.from.iter().cloned()).collect()
    };
    let inputs = Inputs {
        ready: context.log.tail(from(&[Input::Ready])),
        work: context.log.tail(from(&[Input::WorkShort, Input::WorkLong])),
        outcomes: context.log.tail(from(&[Input::Outcomes])),
    };
    Ok((core, inputs, takeover))
}

/// Says that a takeover is over.
pub(super) fn say(context: &Context, epoch: i64, took: Duration, counts: &Counts) {
    let metrics = context.metrics.lock();
    metrics.takeovers.inc();
    metrics.takeover_seconds.observe(took.as_secs_f64());
    tracing::info!(
        pool = context.pool,
        scheduler.epoch = epoch,
        queue.waiting = counts.waiting_short + counts.waiting_long + counts.waiting_batch,
        queue.running = counts.running,
        takeover_ms = took.as_millis() as u64,
        "the queues are rebuilt"
    );
}
