//! One waiting answer: the follower, and what it has ready for the client.
//!
//! The dispatcher puts frames in, the client's task takes text out; between them lies only this lock, so a fence is
//! answered at once and pieces that arrive while the client is being written to leave together.

use parking_lot::Mutex;
use relay_lifecycle::{Broken, Follower, Patience, Step};
use relay_schemas::{Final, Frame, Outcome, Request, RequestId, Run, TimestampMs};
use tokio::sync::Notify;

/// How an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As the record says; with the whole text where none was streamed.
    Finished {
        /// How.
        end: Final,
        /// The whole text of an answer that was not streamed.
        text: String,
    },
    /// Not truthfully.
    Broken(Broken),
}

/// A question to somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// To the sink: how did it end?
    Winner,
    /// To a worker: these frames again.
    Replay {
        /// Of which run.
        run: Run,
        /// The first one that is missing.
        from_seq: u32,
    },
}

/// What was ready.
#[derive(Debug, Default)]
pub struct Ready {
    /// Text for the client.
    pub text: String,
    /// Questions to ask.
    pub questions: Vec<Question>,
    /// Whether the end is known; all text before it is in `text` or was taken earlier.
    pub ended: bool,
    /// When to look again.
    pub next_wakeup: Option<TimestampMs>,
}

/// A waiting answer.
#[derive(Debug)]
pub struct Slot {
    /// Whose answer.
    pub request_id: RequestId,
    /// Hash of the request's canonical form.
    pub request_hash: String,
    most_unread: usize,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    follower: Follower,
    unread: String,
    questions: Vec<Question>,
    end: Option<End>,
    /// Whether only the sink can tell the winner: the client chose the id, by an idempotency key, and the log may hold an end from
    /// before this ingress read it; or an outcome could not be read here.
    sink_decides: bool,
    /// Nobody reads any more: text is dropped.
    abandoned: bool,
}

impl Slot {
    /// A slot that waits for its first frame.
    pub fn new(request: &Request, patience: Patience, most_unread: usize) -> Self {
        Self {
            request_id: request.request_id.clone(),
            request_hash: request.request_hash.clone(),
            most_unread,
            state: Mutex::new(State {
                follower: Follower::new(patience, request.stream, request.accepted_at),
                unread: String::new(),
                questions: Vec::new(),
                end: None,
                sink_decides: request.idempotency_key.is_some(),
                abandoned: false,
            }),
            wake: Notify::new(),
        }
    }

    /// A frame arrived. Where the client reads too slowly it is left lying: the gap is seen and asked for later.
    pub fn on_frame(&self, frame: Frame, now: TimestampMs) {
        let mut state = self.state.lock();
        if state.unread.len() < self.most_unread {
            let steps = state.follower.on_frame(frame, now);
            self.apply(&mut state, steps);
        }
    }

    /// Frames may have been lost.
    pub fn on_lost(&self, now: TimestampMs) {
        self.state.lock().follower.on_lost(now);
        self.wake.notify_one();
    }

    /// The log holds an outcome, where it could be read: the first one that this ingress reads of a fresh id is the winner;
    /// of any other the sink is asked.
    pub fn on_outcome(&self, outcome: Option<&Outcome>, now: TimestampMs) {
        let mut state = self.state.lock();
        state.sink_decides |= outcome.is_none();
        let steps = match outcome {
            Some(outcome) if !state.sink_decides => state.follower.on_winner(outcome, now),
            outcome => {
                state.follower.on_recorded(outcome, now);
                Vec::new()
            }
        };
        self.apply(&mut state, steps);
    }

    /// The winner is known.
    pub fn on_winner(&self, outcome: &Outcome, now: TimestampMs) {
        let mut state = self.state.lock();
        let steps = state.follower.on_winner(outcome, now);
        self.apply(&mut state, steps);
    }

    /// Fences attempts; says whether the client saw text.
    pub fn fence(&self, attempt: u32) -> bool {
        self.state.lock().follower.fence(attempt)
    }

    /// Whether the end is known.
    pub fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    /// The client is gone: its text need not be kept.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        state.unread = String::new();
    }

    /// What is ready now, and what the passing of time asks for.
    pub fn take(&self, now: TimestampMs) -> Ready {
        let mut state = self.state.lock();
        if state.follower.next_wakeup().is_some_and(|at| at <= now) {
            let steps = state.follower.on_wakeup(now);
            self.apply(&mut state, steps);
        }
        Ready {
            text: std::mem::take(&mut state.unread),
            questions: std::mem::take(&mut state.questions),
            ended: state.end.is_some(),
            next_wakeup: state.follower.next_wakeup(),
        }
    }

    /// The end, once; `take` told of it.
    pub fn take_end(&self) -> Option<End> {
        let mut state = self.state.lock();
        let end = state.end.as_mut()?;
        let taken = match end {
            End::Finished { end, text } => End::Finished {
                end: end.clone(),
                text: std::mem::take(text),
            },
            End::Broken(broken) => End::Broken(*broken),
        };
        Some(taken)
    }

    /// Completes when there may be something to take.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    fn apply(&self, state: &mut State, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Show(text) if state.abandoned => drop(text),
                Step::Show(text) if state.unread.is_empty() => state.unread = text,
                Step::Show(text) => state.unread.push_str(&text),
                Step::Finish { end, text } => state.end = Some(End::Finished { end, text }),
                Step::Break(broken) => state.end = Some(End::Broken(broken)),
                Step::AskReplay { run, from_seq } => state.questions.push(Question::Replay { run, from_seq }),
                Step::AskWinner => state.questions.push(Question::Winner),
            }
        }
        self.wake.notify_one();
    }
}
