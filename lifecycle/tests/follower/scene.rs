//! What the cases share: two runs of one request, what they send, and what a client gets of it.

use std::sync::Arc;

use relay_lifecycle::{Follower, Patience, Step, Transcript, final_of};
use relay_schemas::{
    Answer, Delta, Final, FinishReason, Frame, Outcome, OutcomeStatus, Run, Service, TimestampMs, TokenCount,
    Usage, samples,
};

pub const START: TimestampMs = TimestampMs(1_000);
/// Of the body that the client asked for.
pub const HASH: &str = "own";

pub fn run(attempt: u32) -> Run {
    Run {
        service: Service::Workers,
        instance: "w".into(),
        epoch: 1,
        attempt,
    }
}

pub fn outcome(run: &Run, text: &str) -> Outcome {
    Outcome {
        request_id: "r".into(),
        run: run.clone(),
        answer: Some(Arc::new(Answer {
            model: format!("model-{}", run.attempt),
            ..samples::answer(text)
        })),
        usage: Usage {
            prompt_tokens: TokenCount(3),
            completion_tokens: TokenCount(run.attempt),
        },
        request: None,
        ..samples::outcome()
    }
}

pub fn without_text(run: &Run) -> Outcome {
    let mut outcome = outcome(run, "");
    Arc::make_mut(outcome.answer.as_mut().unwrap()).drop_content();
    outcome
}

pub fn failed(service: Service) -> Outcome {
    let scheduler = Run {
        service,
        instance: "s".into(),
        epoch: 1,
        attempt: 1,
    };
    Outcome {
        status: OutcomeStatus::Failed,
        code: Some("worker_lost".to_owned()),
        answer: None,
        ..outcome(&scheduler, "")
    }
}

pub fn frame(run: &Run, seq: u32, text: &str, end: Option<Final>) -> Frame {
    Frame {
        request_id: "r".into(),
        run: run.clone(),
        seq,
        deltas: samples::deltas(text),
        embeddings: Vec::new(),
        tokens: TokenCount(seq),
        end,
    }
}

pub fn piece(attempt: u32, seq: u32, text: &str) -> Frame {
    frame(&run(attempt), seq, text, None)
}

pub fn last(attempt: u32, seq: u32, whole: &str) -> Frame {
    let run = run(attempt);
    let end = final_of(&outcome(&run, whole));
    Frame {
        deltas: vec![ended()],
        ..frame(&run, seq, "", Some(end))
    }
}

pub fn streamed() -> Follower {
    Follower::new(Patience::default(), true, HASH, START)
}

pub fn whole() -> Follower {
    Follower::new(Patience::default(), false, HASH, START)
}

/// Why the choice ended.
pub fn ended() -> Delta {
    Delta::finish(0, FinishReason::Stop)
}

/// `text` and the end behind it.
pub fn content(text: &str) -> Transcript {
    Transcript::of(&samples::answer(text))
}

pub fn show(text: &str) -> Vec<Step> {
    vec![Step::Show(samples::deltas(text))]
}

/// The client gets `rest` and the end behind it.
pub fn show_end(rest: &str) -> Step {
    let delta = Delta {
        text: rest.to_owned(),
        ..ended()
    };
    Step::Show(vec![delta])
}

/// A streamed answer is over.
pub fn over(outcome: &Outcome) -> Step {
    Step::Finish {
        end: final_of(outcome),
        content: Transcript::default(),
    }
}

/// The whole of an answer that was not streamed.
pub fn finish(outcome: &Outcome, text: &str) -> Step {
    Step::Finish {
        end: final_of(outcome),
        content: content(text),
    }
}

/// Lets time pass to the next wakeup.
pub fn wake(follower: &mut Follower) -> Vec<Step> {
    let at = follower.next_wakeup().expect("it has not ended");
    follower.on_wakeup(at)
}
