//! Follows one answer on its way to the client: orders frames, sees what is missing, and decides what may be shown.
//!
//! The control seam may lose, repeat and reorder frames, and two workers may run the same request when a lease was
//! revoked. The follower shows the first run it sees, but believes no run's word about its end: only the *winner*, the
//! first outcome of the request in the log, ends an answer, so that what a client sees finish is what the record says.
//! Where the log does not bring the winner in time, the sink is asked. Time comes in as an argument; what is to be done
//! comes back as [`Step`]s.

use std::collections::BTreeMap;

use relay_schemas::{Final, Frame, Outcome, OutcomeStatus, Run, Service, TimestampMs};

use crate::final_of;

/// How long the follower waits before it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From a gap, or a last frame, to the first question: most frames and winners come by themselves.
    pub gap_ms: i64,
    /// From an outcome in the log that need not be the winner to the first question: the sink has it to fold meanwhile.
    pub fold_ms: i64,
    /// From the last frame to the question whether the request has ended; doubles while nothing is heard.
    pub silence_ms: i64,
    /// Longest pause between two questions.
    pub most_ms: i64,
    /// Questions for the text of a finished answer before it counts as lost.
    pub replays: u32,
    /// Most frames held while an earlier one is missing; later ones are dropped and asked for again.
    pub ahead: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            gap_ms: 50,
            fold_ms: 10,
            silence_ms: 1_000,
            most_ms: 8_000,
            replays: 6,
            ahead: 1_024,
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The client gets this piece of text. Only for streamed answers.
    Show(String),
    /// The answer ended as the record says; nothing follows.
    Finish {
        /// How it ended.
        end: Final,
        /// The whole text, where nothing was shown before; empty for streamed answers.
        text: String,
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
    /// The client was shown text of one run, and another one won.
    Diverged,
    /// The answer was recorded without its text, and nobody holds the frames any more.
    Unavailable,
}

/// The state of one answer on its way to one client.
#[derive(Debug)]
pub struct Follower {
    patience: Patience,
    streamed: bool,
    following: Option<Run>,
    next_seq: u32,
    ahead: BTreeMap<u32, Frame>,
    /// Read and not shown, for answers that leave in one piece.
    kept: String,
    /// Bytes shown.
    shown: usize,
    /// Whether all frames of the followed run were read.
    whole: bool,
    /// The winner's end, while its text is still missing.
    decided: Option<Final>,
    /// What the log holds of a run that need not be the winner: its text, where the record has it.
    recorded: Option<(Run, String)>,
    /// Attempts of workers up to this one are ignored.
    fenced: u32,
    ended: bool,
    quiet_at: TimestampMs,
    quiet_ms: i64,
    /// When something missing is asked for.
    mend_at: Option<TimestampMs>,
    mends: u32,
    /// When the sink is asked who won, because it should be known by then.
    ask_at: Option<TimestampMs>,
    asks: u32,
}

impl Follower {
    /// Starts following. `streamed`: pieces are shown as they come; else all at once at the end.
    pub fn new(patience: Patience, streamed: bool, now: TimestampMs) -> Self {
        Self {
            patience,
            streamed,
            following: None,
            next_seq: 0,
            ahead: BTreeMap::new(),
            kept: String::new(),
            shown: 0,
            whole: false,
            decided: None,
            recorded: None,
            fenced: 0,
            ended: false,
            quiet_at: now.plus_ms(patience.silence_ms),
            quiet_ms: patience.silence_ms,
            mend_at: None,
            mends: 0,
            ask_at: None,
            asks: 0,
        }
    }

    /// Whether the client was sent text.
    pub fn saw_token(&self) -> bool {
        self.shown > 0
    }

    /// Whether a [`Step::Finish`] or [`Step::Break`] was given out.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// When [`Follower::on_wakeup`] wants to be called, at the latest; `None` once it has ended.
    pub fn next_wakeup(&self) -> Option<TimestampMs> {
        let sooner = self.mend_at.into_iter().chain(self.ask_at).min();
        (!self.ended).then(|| sooner.map_or(self.quiet_at, |at| at.min(self.quiet_at)))
    }

    /// Takes nothing more from workers' attempts up to `attempt`; says whether the client saw text (then it must not run again).
    pub fn fence(&mut self, attempt: u32) -> bool {
        if self.decided.is_some() {
            // The record names the run already: its frames are wanted, whoever fears that it is a zombie.
            return self.saw_token();
        }
        self.fenced = self.fenced.max(attempt);
        let follows_fenced = self.following.as_ref().is_some_and(|run| self.is_fenced(run));
        if follows_fenced && !self.saw_token() && !self.ended {
            self.follow(None);
        }
        self.saw_token()
    }

    /// A frame arrived, by itself or as part of a replay.
    pub fn on_frame(&mut self, frame: Frame, now: TimestampMs) -> Vec<Step> {
        if self.ended || self.is_fenced(&frame.run) {
            return Vec::new();
        }
        match &self.following {
            None => self.follow(Some(frame.run.clone())),
            Some(run) if *run == frame.run => {}
            // Which of the two counts, the winner says.
            Some(_) => return Vec::new(),
        }
        self.quiet_ms = self.patience.silence_ms;
        self.quiet_at = now.plus_ms(self.quiet_ms);
        if frame.seq < self.next_seq || self.whole {
            return Vec::new();
        }
        if frame.seq > self.next_seq {
            if self.ahead.len() < self.patience.ahead {
                self.ahead.insert(frame.seq, frame);
            }
            self.mend_at.get_or_insert(now.plus_ms(self.patience.gap_ms));
            return Vec::new();
        }
        self.read_on(frame, now)
    }

    /// Frames may have been lost here.
    pub fn on_lost(&mut self, now: TimestampMs) {
        if self.following.is_some() {
            self.mend_at.get_or_insert(now.plus_ms(self.patience.gap_ms));
        }
    }

    /// The log holds an outcome of this request (`None`: one that cannot be read here), and only the sink can tell whether it
    /// is the winner: it is asked until it does.
    pub fn on_recorded(&mut self, outcome: Option<&Outcome>, now: TimestampMs) {
        let read =
            outcome.and_then(|outcome| Some((outcome.run.clone(), recorded_text(outcome)?.to_owned())));
        self.recorded = self.recorded.take().or(read);
        self.ask(now.plus_ms(self.patience.fold_ms));
    }

    /// The winner is known: from the log, or from the sink. Whatever is said later is not the first; but the same record may
    /// come again with a text that the sink's answer had no room for.
    pub fn on_winner(&mut self, outcome: &Outcome, now: TimestampMs) -> Vec<Step> {
        let known = self.decided.is_some() && self.following.as_ref() != Some(&outcome.run);
        if self.ended || known {
            return Vec::new();
        }
        self.ask_at = None;
        let end = final_of(outcome);
        let same_run = self.following.as_ref() == Some(&outcome.run);
        if !is_success(end.status) {
            return self.finish(end);
        }
        if self.saw_token() && !same_run {
            return self.give_up(Broken::Diverged);
        }
        if let Some(text) = recorded_text(outcome) {
            return self.finish_with(end, text);
        }
        match self.recorded.take_if(|(run, _)| *run == outcome.run) {
            Some((_, text)) => self.finish_with(end, &text),
            None if same_run && self.whole => self.finish(end),
            None => self.collect(outcome.run.clone(), end, now),
        }
    }

    /// Time passed.
    pub fn on_wakeup(&mut self, now: TimestampMs) -> Vec<Step> {
        if self.ended {
            return Vec::new();
        }
        if self.decided.is_some() && self.mends >= self.patience.replays {
            return self.give_up(Broken::Unavailable);
        }
        let mut steps = Vec::new();
        if self.mend_at.is_some_and(|at| at <= now) {
            steps.extend(self.mend());
            self.mend_at = Some(now.plus_ms(self.pause(self.mends)));
            self.mends += 1;
        }
        let mut ask = false;
        if self.ask_at.is_some_and(|at| at <= now) {
            ask = true;
            self.ask_at = Some(now.plus_ms(self.pause(self.asks)));
            self.asks += 1;
        }
        if self.quiet_at <= now {
            ask = true;
            self.quiet_ms = (self.quiet_ms * 2).min(self.patience.most_ms);
            self.quiet_at = now.plus_ms(self.quiet_ms);
        }
        if ask && self.decided.is_none() && !steps.contains(&Step::AskWinner) {
            steps.push(Step::AskWinner);
        }
        steps
    }

    fn is_fenced(&self, run: &Run) -> bool {
        run.service == Service::Workers && run.attempt <= self.fenced
    }

    /// Begins with `run` from its first frame; what was read of another one, and never shown, is forgotten.
    fn follow(&mut self, run: Option<Run>) {
        self.following = run;
        self.next_seq = 0;
        self.ahead.clear();
        self.kept.clear();
        self.whole = false;
        self.mends = 0;
        self.mend_at = None;
    }

    /// Takes `frame`, which is the next one, and all held ones that follow it without a gap.
    fn read_on(&mut self, frame: Frame, now: TimestampMs) -> Vec<Step> {
        let mut text = frame.text;
        let mut whole = frame.end.is_some();
        self.next_seq = frame.seq.saturating_add(1);
        while let Some(next) = self.ahead.remove(&self.next_seq) {
            text.push_str(&next.text);
            whole |= next.end.is_some();
            self.next_seq = self.next_seq.saturating_add(1);
        }
        // What was held before the gap closed may be a duplicate of what a replay just brought.
        self.ahead = self.ahead.split_off(&self.next_seq);
        self.whole = whole;
        let mut steps = self.take(text);
        self.settle(now, &mut steps);
        steps
    }

    fn take(&mut self, text: String) -> Vec<Step> {
        if text.is_empty() {
            return Vec::new();
        }
        if !self.streamed {
            if self.kept.is_empty() {
                self.kept = text;
            } else {
                self.kept.push_str(&text);
            }
            return Vec::new();
        }
        self.shown += text.len();
        vec![Step::Show(text)]
    }

    /// After reading: ends if the winner is known and nothing is missing, else looks when to ask.
    fn settle(&mut self, now: TimestampMs, steps: &mut Vec<Step>) {
        match self.decided.take_if(|_| self.whole) {
            Some(end) => steps.extend(self.finish(end)),
            None if self.decided.is_some() => {}
            None => {
                if self.ahead.is_empty() {
                    self.mends = 0;
                    self.mend_at = None;
                }
                if self.whole {
                    self.ask(now.plus_ms(self.patience.gap_ms));
                }
            }
        }
    }

    /// The next question while something is missing: the worker and the sink in turn.
    fn mend(&self) -> Option<Step> {
        let run = self
            .following
            .as_ref()
            .filter(|run| run.service == Service::Workers && !self.whole);
        let replay = run.map(|run| Step::AskReplay {
            run: run.clone(),
            from_seq: self.next_seq,
        });
        if self.decided.is_some() {
            return replay;
        }
        let gap = !self.ahead.is_empty();
        replay
            .filter(|_| gap && self.mends.is_multiple_of(2) || !gap && !self.mends.is_multiple_of(2))
            .or(Some(Step::AskWinner))
    }

    /// Has the sink asked at `at`, if it is not to be asked sooner.
    fn ask(&mut self, at: TimestampMs) {
        if self.decided.is_none() && !self.ended {
            self.ask_at = Some(self.ask_at.map_or(at, |sooner| sooner.min(at)));
        }
    }

    fn pause(&self, questions: u32) -> i64 {
        (self.patience.gap_ms << questions.min(16)).clamp(1, self.patience.most_ms.max(1))
    }

    /// The record, as far as it was told, holds no text: the run's own frames do, and perhaps the log.
    fn collect(&mut self, run: Run, end: Final, now: TimestampMs) -> Vec<Step> {
        if self.following.as_ref() != Some(&run) {
            self.follow(Some(run));
        }
        // The record names this run, so a fence on it no longer matters.
        self.fenced = 0;
        self.decided = Some(end);
        self.mends = 0;
        self.mend_at = Some(now);
        Vec::new()
    }

    /// The record's text replaces what is missing behind what was shown.
    fn finish_with(&mut self, end: Final, text: &str) -> Vec<Step> {
        if !self.streamed {
            text.clone_into(&mut self.kept);
            return self.finish(end);
        }
        let Some(rest) = text.get(self.shown..) else {
            return self.give_up(Broken::Diverged);
        };
        let mut steps = self.take(rest.to_owned());
        steps.extend(self.finish(end));
        steps
    }

    fn finish(&mut self, end: Final) -> Vec<Step> {
        self.ended = true;
        let text = std::mem::take(&mut self.kept);
        vec![Step::Finish { end, text }]
    }

    fn give_up(&mut self, broken: Broken) -> Vec<Step> {
        self.ended = true;
        vec![Step::Break(broken)]
    }
}

/// The answer's text, where the record has it.
fn recorded_text(outcome: &Outcome) -> Option<&str> {
    let answer = outcome.answer.as_ref()?;
    (!answer.text_dropped).then_some(answer.text.as_str())
}

/// Whether a client is told that it worked.
pub const fn is_success(status: OutcomeStatus) -> bool {
    matches!(status, OutcomeStatus::Completed | OutcomeStatus::Cached)
}
