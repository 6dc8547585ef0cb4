//! The questions that stand before a revocation: has it ended after all, and did the client see any of it?

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Partition, topics};
use relay_control::{ControlError, ask, subjects};
use relay_schemas::{FenceAnswer, FenceQuery};

use crate::core::Attempt;
use crate::feed::{Wait, insist};
use crate::pool::{Event, Shared};

/// How long workers get to show themselves once the control seam is back.
const GRACE: Duration = Duration::from_millis(500);
/// How often an ingress is asked, over a seam that works.
const QUESTIONS: u32 = 2;

/// Waits for a working control seam (a seam that is down makes every worker look lost), then says where outcomes end now.
pub(crate) async fn settle(shared: Arc<Shared>, doubts: Vec<Attempt>) {
    let mut wait = Wait::new(&shared.config);
    let mut was_down = false;
    while shared.control.probe().await.is_err() {
        was_down = true;
        wait.once().await;
    }
    if was_down {
        tokio::time::sleep(GRACE).await;
    }
    let event = match outcomes_end(&shared).await {
        Ok(ends) => Event::OutcomesEnd(doubts, ends),
        Err(error) => Event::Failed(error.into()),
    };
    shared.tell(event).await;
}

async fn outcomes_end(shared: &Shared) -> Result<Vec<(i32, i64)>, relay_bus::BusError> {
    let bus = &shared.runtime.bus;
    let (health, config) = (&shared.runtime.health, &*shared.config);
    let count = insist(health, config, || bus.partitions(topics::OUTCOMES)).await?;
    let mut ends = Vec::new();
    for number in 0..count {
        let partition = Partition::new(topics::OUTCOMES, number);
        let range = insist(health, config, || bus.range(&partition)).await?;
        if range.low < range.high {
            ends.push((number, range.high));
        }
    }
    Ok(ends)
}

/// Asks the ingress behind `reply_to` to fence an attempt.
pub(crate) async fn fence(shared: Arc<Shared>, attempt: Attempt, reply_to: String) {
    let answer = match subjects::fence(&reply_to) {
        Some(subject) => ask_twice(&shared, &subject, &attempt).await,
        None => None,
    };
    shared.tell(Event::Fenced(attempt, answer)).await;
}

async fn ask_twice(shared: &Shared, subject: &str, attempt: &Attempt) -> Option<FenceAnswer> {
    let timeout = Duration::from_millis(shared.config.fence_timeout_ms);
    let question = FenceQuery {
        request_id: attempt.request_id.clone(),
        attempt: attempt.attempt,
    };
    let mut wait = Wait::new(&shared.config);
    let mut asked = 0;
    while asked < QUESTIONS {
        let answer: Result<FenceAnswer, ControlError> =
            ask(&*shared.control, subject, &question, timeout).await;
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) => {
                tracing::debug!(request.id = %attempt.request_id, %error, "an ingress did not answer a fence question");
            }
        }
        // What was lost on our own side of the seam was never asked, and nobody tells the ingress that it missed it.
        match shared.control.probe().await {
            Ok(()) => asked += 1,
            Err(_) => wait.once().await,
        }
    }
    None
}
