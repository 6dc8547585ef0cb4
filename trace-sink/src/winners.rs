//! "Who won?", asked over the control seam by an ingress that the log cannot tell.

use std::sync::Arc;

use relay_bus::{Bus, topics};
use relay_schemas::{FoldedOffset, Outcome, RequestId, WinnerAnswer, WinnerQuery, encode};
use relay_store::{Folded, Outcomes, Positions, StoreError, Tables, Traces};
use tokio::sync::OnceCell;

use crate::condition::Condition;

/// What the tables know. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KnownOutcomes {
    traces: Arc<dyn Traces>,
    outcomes: Arc<dyn Outcomes>,
    bus: Arc<dyn Bus>,
    condition: Arc<Condition>,
    partitions: Arc<OnceCell<usize>>,
}

impl KnownOutcomes {
    pub(crate) fn new(tables: &Tables, bus: Arc<dyn Bus>, condition: Arc<Condition>) -> Self {
        Self {
            traces: Arc::clone(&tables.traces),
            outcomes: Arc::clone(&tables.outcomes),
            bus,
            condition,
            partitions: Arc::default(),
        }
    }

    /// The winning outcome, or that none is known (yet). No answer where the tables cannot tell, lack what was folded once, or
    /// cannot be folded into:
    /// that is not the same.
    pub(crate) async fn answer(&self, query: WinnerQuery, limit: usize) -> Option<WinnerAnswer> {
        let told = self.told(&query.request_id, limit).await;
        told.unwrap_or_else(|error| {
            tracing::debug!(request.id = %query.request_id, %error, "who won cannot be told now");
            None
        })
    }

    async fn told(&self, request: &RequestId, limit: usize) -> Result<Option<WinnerAnswer>, StoreError> {
        // Before anything is looked up: what is folded from here on may be missed below.
        let folded = self.outcomes.folded().await?;
        if let Some(winner) = self.traces.find(request).await? {
            return Ok(Some(fit(Arc::unwrap_or_clone(winner.outcome), limit)));
        }
        if self.outcomes.has_ended(request).await? {
            // It may have been folded between the two looks.
            let winner = self.traces.find(request).await?;
            return Ok(Some(winner.map_or_else(forgotten, |winner| {
                fit(Arc::unwrap_or_clone(winner.outcome), limit)
            })));
        }
        let knows_all = !self.condition.is_held_up() && self.is_whole(&folded).await?;
        Ok(knows_all.then(|| unended(&folded)))
    }

    /// Whether every partition is folded at least as far as it was before.
    async fn is_whole(&self, folded: &Positions) -> Result<bool, StoreError> {
        let count = async {
            let partitions = self.bus.partitions(topics::OUTCOMES).await;
            let partitions = partitions.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            Ok(usize::try_from(partitions).unwrap_or(0))
        };
        let partitions = *self.partitions.get_or_try_init(|| count).await?;
        Ok(folded.len() >= partitions && folded.values().all(|folded| folded.is_whole()))
    }
}

fn unended(folded: &Positions) -> WinnerAnswer {
    let next = |(partition, folded): (&i32, &Folded)| FoldedOffset {
        topic: topics::OUTCOMES.to_owned(),
        partition: *partition,
        next: folded.next,
    };
    WinnerAnswer {
        folded: folded.iter().map(next).collect(),
        ..WinnerAnswer::default()
    }
}

fn forgotten() -> WinnerAnswer {
    WinnerAnswer {
        forgotten: true,
        ..WinnerAnswer::default()
    }
}

/// What can be left out, the least missed first. What ended the request, and how, always stays.
const LEAVE_OUT: [fn(&mut Outcome); 4] = [
    // The request's hash stays: it tells a repeat from another request under the same key.
    |outcome| {
        if let Some(request) = outcome.request.as_mut().map(Arc::make_mut) {
            request.body.clear();
        }
    },
    |outcome| outcome.planning = None,
    |outcome| {
        if let Some(answer) = outcome.answer.as_mut().map(Arc::make_mut) {
            answer.drop_content();
        }
    },
    // Names and reasons of absurd length are all that can be left.
    |outcome| {
        if let Some(request) = outcome.request.as_mut().map(Arc::make_mut) {
            request.model.clear();
            request.reply_to = None;
            request.batch = None;
        }
        outcome.message = None;
    },
];

/// The answer in a size that one message can carry.
fn fit(outcome: Outcome, limit: usize) -> WinnerAnswer {
    let mut answer = WinnerAnswer {
        outcome: Some(outcome),
        ..WinnerAnswer::default()
    };
    for leave_out in LEAVE_OUT {
        if encode(&answer).len() <= limit {
            break;
        }
        if let Some(outcome) = &mut answer.outcome {
            leave_out(outcome);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use relay_schemas::{OutcomeStatus, samples};

    use super::*;

    fn outcome(body: usize, text: usize, reason: usize) -> Outcome {
        let mut outcome = samples::outcome();
        (outcome.caching, outcome.queueing, outcome.lease) = (None, None, None);
        outcome.status = OutcomeStatus::Failed;
        outcome.code = Some("no_plan".to_owned());
        outcome.message = Some("m".repeat(reason));
        outcome.answer = Some(samples::answer(&"t".repeat(text)).into());
        if let Some(request) = outcome.request.as_mut().map(Arc::make_mut) {
            request.body = "c".repeat(body);
            "hash".clone_into(&mut request.request_hash);
        }
        if let Some(planning) = outcome.planning.as_mut().map(Arc::make_mut) {
            planning.adjustments.push("a".repeat(500));
        }
        outcome
    }

    /// What is left of the body, plan, answer's text and reason.
    fn left(body: usize, text: usize, reason: usize) -> (bool, bool, bool, bool) {
        const LIMIT: usize = 1_000;
        let answer = fit(outcome(body, text, reason), LIMIT);
        assert!(encode(&answer).len() <= LIMIT);
        let outcome = answer.outcome.expect("it never leaves out the outcome");
        assert_eq!(
            (outcome.status, outcome.code.as_deref()),
            (OutcomeStatus::Failed, Some("no_plan"))
        );
        let answer = outcome.answer.expect("nor the answer's facts");
        assert_eq!(answer.content_dropped, answer.first_text().is_empty());
        let request = outcome.request;
        let hash = request.as_ref().map(|request| request.request_hash.as_str());
        assert_eq!(hash, Some("hash"), "it tells one body under a key from another");
        (
            request.is_some_and(|request| !request.body.is_empty()),
            outcome.planning.is_some(),
            !answer.first_text().is_empty(),
            outcome.message.is_some(),
        )
    }

    #[test]
    fn what_does_not_fit_is_left_out_the_least_missed_first() {
        assert_eq!(left(100, 100, 10), (true, true, true, true));
        assert_eq!(left(2_000, 100, 10), (false, true, true, true));
        assert_eq!(left(2_000, 400, 10), (false, false, true, true));
        assert_eq!(left(10, 2_000, 10), (false, false, false, true));
        assert_eq!(left(10, 10, 2_000), (false, false, false, false));
    }
}
