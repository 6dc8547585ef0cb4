//! Follows one answer on its way to the client: orders frames, sees what is missing, and decides what may be shown.
//!
//! The control seam may lose, repeat and reorder frames, and two workers may run the same request when a lease was
//! revoked. The follower shows the first run it sees, but believes no run's word about its end: only the *winner*, the
//! first outcome of the request in the log, ends an answer, so that what a client sees finish is what the record says.
//! Where the log does not bring the winner in time, the sink is asked. Time comes in as an argument; what is to be done
//! comes back as [`Step`]s.
//!
//! Why a choice ended is shown with the end of the whole answer and not before: a client that has read `stop` takes what it
//! has for the answer.

mod asking;
mod reading;

use relay_schemas::{Delta, Final, Frame, Outcome, OutcomeStatus, Run, Service, TimestampMs};

use self::asking::Asking;
pub use self::asking::Patience;
use self::reading::{Brought, Reading};
use crate::ending::final_of;
use crate::transcript::Transcript;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The client gets these pieces. Only for streamed answers.
    Show(Vec<Delta>),
    /// The answer ended as the record says; nothing follows.
    Finish {
        /// How it ended.
        end: Final,
        /// The whole content, where nothing was shown before; empty for streamed answers.
        content: Transcript,
    },
    /// The answer cannot be finished truthfully; nothing follows.
    Break(Broken),
    /// Ask the worker for frames again and give them to [`Follower::on_frame`].
    AskReplay {
        /// Of which run.
        run: Run,
        /// The first one that is missing.
        from_seq: u32,
    },
    /// Ask the sink how the request ended; if it knows, give that to [`Follower::on_winner`].
    AskWinner,
}

/// Why an answer cannot be finished truthfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The client was shown something of one run, and another one won.
    Diverged,
    /// The answer was recorded without its content, and nobody holds the frames any more.
    Unavailable,
    /// Only the sink knows whether the request has ended, and it cannot tell.
    Untold,
    /// The winner answers another body, asked for under the same key.
    OtherBody,
}

/// What the log holds of a run.
#[derive(Debug)]
struct Recorded {
    run: Run,
    /// How it ended, in its own words: the sink's may be left out, as the client does not want them kept.
    end: Final,
    /// Where the record has it.
    content: Option<Transcript>,
}

/// The state of one answer on its way to one client.
#[derive(Debug)]
pub struct Follower {
    patience: Patience,
    streamed: bool,
    /// Of the request that is answered: a record of another body under the same id is not its end.
    request_hash: String,
    /// What was read of the followed run. Of a streamed answer the client was shown it.
    reading: Reading,
    /// Whether the client was sent something of an answer.
    shown: bool,
    /// The winner's end, while its content is still missing.
    decided: Option<Final>,
    /// What the log holds of a run that need not be the winner.
    recorded: Option<Recorded>,
    /// Attempts of workers up to this one are ignored.
    fenced: u32,
    ended: bool,
    asking: Asking,
}

impl Follower {
    /// Starts following the answer to the request of that hash. `streamed`: pieces are shown as they come; else all at once at
    /// the end.
    pub fn new(patience: Patience, streamed: bool, request_hash: &str, now: TimestampMs) -> Self {
        Self {
            patience,
            streamed,
            request_hash: request_hash.to_owned(),
            reading: Reading::default(),
            shown: false,
            decided: None,
            recorded: None,
            fenced: 0,
            ended: false,
            asking: Asking::new(patience, now),
        }
    }

    /// Whether a [`Step::Finish`] or [`Step::Break`] was given out.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the winner is known, also where its content is still missing.
    pub fn is_decided(&self) -> bool {
        self.ended || self.decided.is_some()
    }

    /// When [`Follower::on_wakeup`] wants to be called, at the latest; `None` once it has ended.
    pub fn next_wakeup(&self) -> Option<TimestampMs> {
        (!self.ended).then(|| self.asking.next_wakeup())
    }

    /// Takes nothing more from workers' attempts up to `attempt`; says whether the client saw some of one (then it must not run again).
    pub fn fence(&mut self, attempt: u32) -> bool {
        // Where the record names the run already, its frames are wanted, whoever fears that it is a zombie.
        if self.decided.is_none() {
            self.fenced = self.fenced.max(attempt);
            let follows_fenced = self.reading.run().is_some_and(|run| self.is_fenced(run));
            if follows_fenced && !self.shown {
                self.follow(None);
            }
        }
        self.shown
    }

    /// A frame arrived, by itself or as part of a replay.
    pub fn on_frame(&mut self, frame: Frame, now: TimestampMs) -> Vec<Step> {
        if self.ended || self.is_fenced(&frame.run) {
            return Vec::new();
        }
        match self.reading.run() {
            None => self.follow(Some(frame.run.clone())),
            Some(run) if *run == frame.run => {}
            // Which of the two counts, the winner says.
            Some(_) => return Vec::new(),
        }
        self.asking.note_frame(now);
        match self.reading.take(frame, self.patience.ahead) {
            Brought::Nothing => Vec::new(),
            Brought::Early => {
                self.asking.miss_frames(now);
                Vec::new()
            }
            Brought::Next(deltas) => {
                let mut steps = self.show(deltas);
                self.settle(now, &mut steps);
                steps
            }
        }
    }

    /// Frames may have been lost here.
    pub fn on_lost(&mut self, now: TimestampMs) {
        if self.reading.run().is_some() {
            self.asking.miss_frames(now);
        }
    }

    /// The log holds an outcome of this request (`None`: one that cannot be read here), and only the sink can tell whether it
    /// is the winner: it is asked until it does.
    pub fn on_recorded(&mut self, outcome: Option<&Outcome>, now: TimestampMs) {
        let own = outcome.filter(|outcome| !is_of_another_body(outcome, &self.request_hash));
        let read = own.map(|outcome| Recorded {
            run: outcome.run.clone(),
            end: final_of(outcome),
            content: recorded_content(outcome),
        });
        self.recorded = self.recorded.take().or(read);
        self.expect_winner(now.plus_ms(self.patience.fold_ms));
    }

    /// Only the sink can tell how this request ended, and it cannot: its tables are away, or lack what they knew. A client is not kept
    /// waiting for that until its deadline.
    pub fn on_untold(&mut self, now: TimestampMs) {
        if self.decided.is_none() {
            self.asking.note_untold(now);
        }
    }

    /// The sink knows of no end so far.
    pub fn on_unended(&mut self) {
        self.asking.note_unended();
    }

    /// The winner is known: from the log, or from the sink. Whatever is said later is not the first; but the same record may
    /// come again with content that the sink's answer had no room for.
    pub fn on_winner(&mut self, outcome: &Outcome, now: TimestampMs) -> Vec<Step> {
        let known = self.decided.is_some() && !self.reading.is_of(&outcome.run);
        if self.ended || known {
            return Vec::new();
        }
        self.asking.note_winner();
        if is_of_another_body(outcome, &self.request_hash) {
            return self.give_up(Broken::OtherBody);
        }
        let same_run = self.reading.is_of(&outcome.run);
        let is_same =
            |recorded: &mut Recorded| recorded.run == outcome.run && recorded.end.status == outcome.status;
        let (end, recorded) = match self.recorded.take_if(is_same) {
            Some(recorded) => (recorded.end, recorded.content),
            None => (final_of(outcome), None),
        };
        if !is_success(end.status) {
            return self.finish(end);
        }
        match recorded_content(outcome).or(recorded) {
            // What was shown is of another run where the same was accepted twice under one key, and one was answered from a cache:
            // as long as both say the same, the client has seen nothing that is not in the record.
            Some(content) => self.finish_with(end, content),
            None if self.shown && !same_run => self.give_up(Broken::Diverged),
            None if same_run && self.reading.is_whole() => self.finish(end),
            None => self.collect(outcome.run.clone(), end, now),
        }
    }

    /// Time passed.
    pub fn on_wakeup(&mut self, now: TimestampMs) -> Vec<Step> {
        if self.ended {
            return Vec::new();
        }
        if self.decided.is_some() && self.asking.is_tired() {
            return self.give_up(Broken::Unavailable);
        }
        if self.asking.stays_untold(now) {
            return self.give_up(Broken::Untold);
        }
        let due = self.asking.due(now);
        let mut steps: Vec<Step> = due
            .frames
            .and_then(|asked| self.mend(asked))
            .into_iter()
            .collect();
        if due.winner && self.decided.is_none() && !steps.contains(&Step::AskWinner) {
            steps.push(Step::AskWinner);
        }
        steps
    }

    fn is_fenced(&self, run: &Run) -> bool {
        run.service == Service::Workers && run.attempt <= self.fenced
    }

    /// Begins with `run` from its first frame; what was read of another one, and never shown, is forgotten.
    fn follow(&mut self, run: Option<Run>) {
        self.reading = run.map(Reading::of).unwrap_or_default();
        self.asking.miss_nothing();
    }

    fn show(&mut self, deltas: Vec<Delta>) -> Vec<Step> {
        let shows = self.streamed && !deltas.is_empty();
        self.shown |= shows;
        shows.then_some(Step::Show(deltas)).into_iter().collect()
    }

    /// After reading: ends if the winner is known and nothing is missing, else looks when to ask.
    fn settle(&mut self, now: TimestampMs, steps: &mut Vec<Step>) {
        match self.decided.take_if(|_| self.reading.is_whole()) {
            Some(end) => steps.extend(self.finish(end)),
            None if self.decided.is_some() => self.asking.got_on(now),
            None => {
                if self.reading.has_gap() {
                    self.asking.got_on(now);
                } else {
                    self.asking.miss_nothing();
                }
                if self.reading.is_whole() {
                    self.expect_winner(now.plus_ms(self.patience.gap_ms));
                }
            }
        }
    }

    /// The next question while something is missing, after `asked` others: the worker and the sink in turn.
    fn mend(&self, asked: u32) -> Option<Step> {
        let run = self
            .reading
            .run()
            .filter(|run| run.service == Service::Workers && !self.reading.is_whole());
        let replay = run.map(|run| Step::AskReplay {
            run: run.clone(),
            from_seq: self.reading.next_seq(),
        });
        if self.decided.is_some() {
            return replay;
        }
        let gap = self.reading.has_gap();
        replay
            .filter(|_| gap == asked.is_multiple_of(2))
            .or(Some(Step::AskWinner))
    }

    fn expect_winner(&mut self, at: TimestampMs) {
        if self.decided.is_none() {
            self.asking.expect_winner(at);
        }
    }

    /// The record, as far as it was told, holds no content: the run's own frames do, and perhaps the log.
    fn collect(&mut self, run: Run, end: Final, now: TimestampMs) -> Vec<Step> {
        if !self.reading.is_of(&run) {
            self.follow(Some(run));
        }
        // The record names this run, so a fence on it no longer matters.
        self.fenced = 0;
        self.decided = Some(end);
        self.asking.collect(now);
        Vec::new()
    }

    /// The record's content replaces what is missing behind what was shown.
    fn finish_with(&mut self, end: Final, content: Transcript) -> Vec<Step> {
        if !self.streamed {
            self.ended = true;
            return vec![Step::Finish { end, content }];
        }
        let Some(rest) = content.remainder_after(self.reading.content()) else {
            return self.give_up(Broken::Diverged);
        };
        self.reading.forget_ends();
        let mut steps = self.show(rest);
        steps.extend(self.finish(end));
        steps
    }

    /// What was read is the whole.
    fn finish(&mut self, end: Final) -> Vec<Step> {
        self.ended = true;
        let (content, ends) = self.reading.finish();
        if !self.streamed {
            return vec![Step::Finish { end, content }];
        }
        let mut steps = if is_success(end.status) {
            self.show(ends)
        } else {
            Vec::new()
        };
        let content = Transcript::default();
        steps.push(Step::Finish { end, content });
        steps
    }

    fn give_up(&mut self, broken: Broken) -> Vec<Step> {
        self.ended = true;
        vec![Step::Break(broken)]
    }
}

/// Whether `outcome` is the end of another body than the one of that hash, under the same id: one key was used for both.
pub fn is_of_another_body(outcome: &Outcome, request_hash: &str) -> bool {
    let request = outcome.request.as_ref();
    request.is_some_and(|request| request.request_hash != request_hash)
}

/// The answer's content, where the record has it.
fn recorded_content(outcome: &Outcome) -> Option<Transcript> {
    let answer = outcome.answer.as_ref()?;
    (!answer.content_dropped).then(|| Transcript::of(answer))
}

/// Whether a client is told that it worked.
pub const fn is_success(status: OutcomeStatus) -> bool {
    matches!(status, OutcomeStatus::Completed | OutcomeStatus::Cached)
}
