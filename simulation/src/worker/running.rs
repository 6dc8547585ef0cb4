//! One leased request on a worker: what its model has said so far, and how it ends. Pure.

use relay_lifecycle::{Ending, Known, Transcript, end};
use relay_schemas::{
    Answer, Choice, FinishReason, Frame, Outcome, OutcomeStatus, Run, TimestampMs, TokenCount, Usage, Work,
};

use crate::log::pool;

pub(super) struct Running {
    pub work: Work,
    pub produced: u32,
    pub said: Transcript,
    pub frames: Vec<Frame>,
    /// When the next token comes.
    pub due: TimestampMs,
    pub ended: bool,
}

impl Running {
    pub fn new(work: Work, due: TimestampMs) -> Self {
        Self {
            work,
            produced: 0,
            said: Transcript::default(),
            frames: Vec::new(),
            due,
            ended: false,
        }
    }

    /// How it ends now, if it does.
    pub fn ending(&self, cancelled: bool, now: TimestampMs) -> Option<Ending> {
        let plan = &self.work.planning.plan;
        if cancelled {
            let ending = Ending::because(OutcomeStatus::Cancelled, "cancelled", "cancelled");
            return Some(ending);
        }
        if plan.deadline <= now {
            let ending = Ending::because(OutcomeStatus::Expired, "deadline_exceeded", "late");
            return Some(ending);
        }
        (self.produced >= plan.decoding.max_tokens.0).then(|| Ending::of(OutcomeStatus::Completed))
    }

    /// The outcome of `ending` it by `run`, with all that was said.
    pub fn outcome(&self, run: Run, ending: Ending, now: TimestampMs) -> Outcome {
        let wished = self.work.request.requested_tokens;
        let finish_reason = match ending.status {
            OutcomeStatus::Completed if wished.is_some_and(|wished| self.produced < wished.0) => {
                Some(FinishReason::Length)
            }
            OutcomeStatus::Completed => Some(FinishReason::Stop),
            _ => None,
        };
        let (mut choices, _) = self.said.clone().into_parts();
        if choices.is_empty() {
            choices.push(Choice::default());
        }
        choices[0].finish_reason = finish_reason;
        let answer = Answer {
            choices,
            model: model(pool(&self.work.queueing.pool)).to_owned(),
            model_version: "1".to_owned(),
            ..Answer::default()
        };
        let usage = Usage {
            prompt_tokens: self.work.request.prompt_tokens,
            completion_tokens: TokenCount(self.produced),
        };
        let ending = Ending {
            answer: Some(answer.into()),
            usage,
            ..ending
        };
        end(Known::Work(&self.work), run, ending, now)
    }
}

/// The model that a pool's workers run.
pub(super) fn model(pool: usize) -> &'static str {
    ["model", "spare-model"][pool]
}
