//! From a snapshot and the log's tail to what is true now.
//!
//! Work and `ready` are folded to where they ended at the election before outcomes are: an outcome lies behind the work it
//! ends, so each finds its lease and is charged exactly once.

use std::sync::Arc;

use relay_bus::{BusError, OffsetRange, Partition};
use relay_runner::Tail;
use relay_schemas::SchedulerSnapshot;

use super::context::Context;
use crate::core::{Core, Ends, Input};

/// The inputs, opened where a core needs them.
pub(super) struct Inputs {
    /// What is offered.
    pub(super) ready: Tail,
    /// Both work topics.
    pub(super) work: Tail,
    /// What ended.
    pub(super) outcomes: Tail,
}

/// Opens a core on the newest snapshot, with its inputs and where they end now.
pub(super) async fn open(
    context: &Arc<Context>,
    snapshot: Option<&SchedulerSnapshot>,
) -> Result<(Core, Inputs, Ends), BusError> {
    let mut core = Core::new((*context.config).clone(), &context.pool, context.identity.run(0));
    if let Some(snapshot) = snapshot {
        core.restore(snapshot);
    }
    // Outcomes first: what had ended by then was dispatched before, so the ends of the work topics lie behind it.
    let mut ends = Ends::default();
    let mut from: [Vec<(Partition, i64)>; 4] = Default::default();
    for input in [Input::Outcomes, Input::WorkShort, Input::WorkLong, Input::Ready] {
        for (partition, range) in ranges(context, &input.topic(&context.pool)).await? {
            let number = partition.partition;
            core.bound(input, number, range.low, range.high);
            let start = match input {
                Input::Ready => core.ready_from(number),
                Input::Outcomes => {
                    core.offsets().next(input, number) - context.config.leadership.ended_overlap
                }
                Input::WorkShort | Input::WorkLong => core.offsets().next(input, number),
            };
            from[input as usize].push((partition, start.max(range.low)));
            if range.low < range.high {
                ends.add(input, number, range.high);
            }
        }
    }
    let [ready, short, long, outcomes] = from;
    let inputs = Inputs {
        ready: context.tail(ready),
        work: context.tail(short.into_iter().chain(long)),
        outcomes: context.tail(outcomes),
    };
    Ok((core, inputs, ends))
}

async fn ranges(context: &Context, topic: &str) -> Result<Vec<(Partition, OffsetRange)>, BusError> {
    let bus = &context.runtime.bus;
    let count = context.ask(|| bus.partitions(topic)).await?;
    let ask = |number| async move {
        let partition = Partition::new(topic, number);
        let range = context.ask(|| bus.range(&partition)).await?;
        Ok((partition, range))
    };
    futures::future::try_join_all((0..count).map(ask)).await
}
