//! The questions that stand before a revocation: has it ended after all, and did the client see any of it?

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics;
use relay_control::{ControlError, ask, subjects};
use relay_schemas::{FenceAnswer, FenceQuery};

use super::context::{Context, Signal};
use crate::core::{Attempt, Doubted, Input, Offsets};

/// How long workers get to show themselves once the control seam is back.
const GRACE: Duration = Duration::from_millis(500);
/// How often an ingress is asked, over a seam that works.
const QUESTIONS: u32 = 2;

/// Ends of partitions of outcomes: number, offset.
pub(super) type OutcomesEnd = Vec<(i32, i64)>;

/// Leases in doubt, and where outcomes must be folded to before they count as lost.
#[derive(Debug, Default)]
pub(super) struct Doubts(Vec<(Vec<Doubted>, OutcomesEnd)>);

impl Doubts {
    /// These are lost once each of these partitions is folded to there.
    pub(super) fn add(&mut self, doubts: Vec<Doubted>, ends: OutcomesEnd) {
        self.0.push((doubts, ends));
    }

    /// Those whose outcomes are folded by now.
    pub(super) fn take_folded(&mut self, offsets: &Offsets) -> Vec<Doubted> {
        let is_folded = |(_, ends): &mut (_, OutcomesEnd)| {
            ends.iter()
                .all(|(partition, end)| offsets.next(Input::Outcomes, *partition) >= *end)
        };
        let folded = self.0.extract_if(.., is_folded);
        folded.flat_map(|(doubts, _)| doubts).collect()
    }
}

/// Waits for a working control seam (a seam that is down makes every worker look lost), then says where outcomes end now.
pub(super) async fn settle(context: Arc<Context>, doubts: Vec<Doubted>) {
    let mut backoff = context.config.retry.backoff(&context.runtime.chance);
    let mut was_down = false;
    while context.control.probe().await.is_err() {
        was_down = true;
        backoff.wait().await;
    }
    if was_down {
        tokio::time::sleep(GRACE).await;
    }
    let signal = match outcomes_end(&context).await {
        Ok(ends) => Signal::OutcomesEnd(doubts, ends),
        Err(error) => Signal::Failed(error.into()),
    };
    context.signal(signal).await;
}

async fn outcomes_end(context: &Context) -> Result<OutcomesEnd, relay_bus::BusError> {
    let ranges = context.log.ranges(topics::OUTCOMES).await?;
    let filled = ranges.into_iter().filter(|(_, range)| range.low < range.high);
    Ok(filled
        .map(|(partition, range)| (partition.partition, range.high))
        .collect())
}

/// Asks the ingress behind `reply_to` to fence an attempt.
pub(super) async fn fence(context: Arc<Context>, attempt: Attempt, reply_to: String) {
    let answer = match subjects::fence(&reply_to) {
        Some(subject) => ask_twice(&context, &subject, &attempt).await,
        None => None,
    };
    context.signal(Signal::Fenced(attempt, answer)).await;
}

async fn ask_twice(context: &Context, subject: &str, attempt: &Attempt) -> Option<FenceAnswer> {
    let timeout = context.config.leases.fence_timeout;
    let question = FenceQuery {
        request_id: attempt.request_id.clone(),
        attempt: attempt.attempt,
    };
    let mut backoff = context.config.retry.backoff(&context.runtime.chance);
    let mut asked = 0;
    while asked < QUESTIONS {
        let answer: Result<FenceAnswer, ControlError> =
            ask(&*context.control, subject, &question, timeout).await;
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) => {
                tracing::debug!(request.id = %attempt.request_id, %error, "an ingress did not answer a fence question");
            }
        }
        // What was lost on our own side of the seam was never asked, and nothing tells the ingress that it missed it.
        match context.control.probe().await {
            Ok(()) => asked += 1,
            Err(_) => backoff.wait().await,
        }
    }
    None
}
