//! Asks the sink and workers on behalf of a pending answer, and gives it what they say.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use relay_clock::Clock;
use relay_control::{Control, ask, subjects};
use relay_schemas::{
    FoldedOffset, Outcome, ReplayAnswer, ReplayQuery, RequestId, Run, WinnerAnswer, WinnerQuery,
};

use super::pending::{Pending, Question};

/// The sink cannot tell how a request ended; that none has been heard of is another thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotTell;

/// What the sink knows of how a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It has heard of no end, its tables being folded as far as that.
    Unended(Vec<FoldedOffset>),
    /// Thus.
    Ended(Box<Outcome>),
    /// It ended, and how is no longer kept.
    Forgotten,
}

/// Asks questions over the control seam. Cheap to clone.
#[derive(Clone)]
pub struct Questions {
    /// Where they are asked.
    pub control: Arc<dyn Control>,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Counts them.
    pub asked: IntCounterVec,
    /// When an answer came.
    pub clock: Clock,
}

impl Questions {
    /// Asks in the background. The follower's pauses bound how many are under way.
    pub fn put(&self, pending: &Arc<Pending>, questions: Vec<Question>) {
        for question in questions {
            let (asking, pending) = (self.clone(), Arc::clone(pending));
            tokio::spawn(async move { asking.put_one(&pending, question).await });
        }
    }

    async fn put_one(&self, pending: &Pending, question: Question) {
        match question {
            Question::Winner => {
                let winner = self.winner(&pending.request_id).await;
                let now = self.clock.steady();
                match winner {
                    Ok(Told::Ended(outcome)) => pending.on_winner(&outcome, now),
                    Ok(Told::Unended(_)) => pending.on_unended(),
                    Ok(Told::Forgotten) | Err(CannotTell) => pending.on_untold(now),
                }
            }
            Question::Replay { run, from_seq } => self.replay(pending, run, from_seq).await,
        }
    }

    async fn replay(&self, pending: &Pending, run: Run, from_seq: u32) {
        self.asked.with_label_values(&["worker"]).inc();
        let subject = subjects::replay(&run.instance, run.epoch);
        let query = ReplayQuery {
            request_id: pending.request_id.clone(),
            run,
            from_seq,
        };
        match ask::<_, ReplayAnswer>(&*self.control, &subject, &query, self.timeout).await {
            Ok(answer) => {
                for frame in answer.frames {
                    pending.on_frame(frame, self.clock.steady());
                }
            }
            Err(error) => tracing::debug!(request.id = %pending.request_id, %error, "no replay"),
        }
    }

    /// How the request ended, as far as the sink knows.
    ///
    /// # Errors
    /// Where it gives no answer: it is away, or its tables are, or they lack what they knew.
    pub async fn winner(&self, request: &RequestId) -> Result<Told, CannotTell> {
        self.asked.with_label_values(&["sink"]).inc();
        let query = WinnerQuery {
            request_id: request.clone(),
        };
        match ask::<_, WinnerAnswer>(&*self.control, subjects::WINNER, &query, self.timeout).await {
            Ok(answer) => Ok(match answer.outcome {
                Some(outcome) => Told::Ended(Box::new(outcome)),
                None if answer.forgotten => Told::Forgotten,
                None => Told::Unended(answer.folded),
            }),
            Err(error) => {
                tracing::debug!(request.id = %request, %error, "the sink does not say how it ended");
                Err(CannotTell)
            }
        }
    }
}
