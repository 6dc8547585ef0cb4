//! When what is missing is asked for: the worker's frames, and the sink's word on who won. Only when; what, the follower says.

use relay_schemas::TimestampMs;

/// How long the follower waits before it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From a gap, or a last frame, to the first question: most frames and winners come by themselves.
    pub gap_ms: i64,
    /// From an outcome in the log that need not be the winner to the first question: the sink has it to fold meanwhile.
    pub fold_ms: i64,
    /// From the last frame to the question whether the request has ended; doubles while nothing comes.
    pub silence_ms: i64,
    /// Longest pause between two questions.
    pub most_ms: i64,
    /// How long the sink may be unable to tell how a request ended whose end only it knows.
    pub untold_ms: i64,
    /// Questions for the content of a finished answer before it counts as lost.
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
            untold_ms: 5_000,
            replays: 6,
            ahead: 1_024,
        }
    }
}

/// What is to be asked for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Frames that are missing; how often they were asked for before.
    pub frames: Option<u32>,
    /// Who won.
    pub winner: bool,
}

/// The three clocks behind the questions: for missing frames, for a winner that should be known by now, and for silence.
#[derive(Debug)]
pub(super) struct Asking {
    patience: Patience,
    quiet_at: TimestampMs,
    quiet_ms: i64,
    frames_at: Option<TimestampMs>,
    frames_asked: u32,
    winner_at: Option<TimestampMs>,
    winner_asked: u32,
    /// Since when the sink cannot tell, though nothing else came meanwhile.
    untold_since: Option<TimestampMs>,
}

impl Asking {
    pub fn new(patience: Patience, now: TimestampMs) -> Self {
        Self {
            patience,
            quiet_at: now.plus_ms(patience.silence_ms),
            quiet_ms: patience.silence_ms,
            frames_at: None,
            frames_asked: 0,
            winner_at: None,
            winner_asked: 0,
            untold_since: None,
        }
    }

    /// When the next question is due, at the latest.
    pub fn next_wakeup(&self) -> TimestampMs {
        let untold = self
            .untold_since
            .map(|since| since.plus_ms(self.patience.untold_ms));
        let sooner = self
            .frames_at
            .into_iter()
            .chain(self.winner_at)
            .chain(untold)
            .min();
        sooner.map_or(self.quiet_at, |at| at.min(self.quiet_at))
    }

    /// Something of the followed run came: the silence begins anew.
    pub fn note_frame(&mut self, now: TimestampMs) {
        self.quiet_ms = self.patience.silence_ms;
        self.quiet_at = now.plus_ms(self.quiet_ms);
        self.untold_since = None;
    }

    /// The sink was asked, and cannot tell. It is asked again soon, however long the silence is by now: one that just ends, or starts,
    /// may leave one question without an answer, and that says nothing yet.
    pub fn note_untold(&mut self, now: TimestampMs) {
        self.untold_since.get_or_insert(now);
        self.quiet_ms = self.patience.silence_ms;
        self.quiet_at = self.quiet_at.min(now.plus_ms(self.quiet_ms));
    }

    /// The sink was asked, and knows of no end.
    pub fn note_unended(&mut self) {
        self.untold_since = None;
    }

    /// Whether the sink has been unable to tell for too long.
    pub fn stays_untold(&self, now: TimestampMs) -> bool {
        self.untold_since
            .is_some_and(|since| now.since_ms(since) >= self.patience.untold_ms)
    }

    /// Frames are missing: they are asked for soon, if that is not planned already.
    pub fn miss_frames(&mut self, now: TimestampMs) {
        self.frames_at.get_or_insert(now.plus_ms(self.patience.gap_ms));
    }

    /// No frame is missing any more.
    pub fn miss_nothing(&mut self) {
        self.frames_at = None;
        self.frames_asked = 0;
    }

    /// Some of what was missing came: asking is worth while again, and soon.
    pub fn got_on(&mut self, now: TimestampMs) {
        self.frames_asked = 0;
        let soon = now.plus_ms(self.patience.gap_ms);
        self.frames_at = self.frames_at.map(|at| at.min(soon));
    }

    /// The whole run is wanted, at once.
    pub fn collect(&mut self, now: TimestampMs) {
        self.frames_at = Some(now);
        self.frames_asked = 0;
    }

    /// Whether the frames of a finished answer were asked for as often as is worth it.
    pub fn is_tired(&self) -> bool {
        self.frames_asked >= self.patience.replays
    }

    /// The winner should be known `ms` from now: the sink is asked then, if not sooner.
    pub fn expect_winner(&mut self, at: TimestampMs) {
        self.winner_at = Some(self.winner_at.map_or(at, |sooner| sooner.min(at)));
    }

    /// The winner is known.
    pub fn note_winner(&mut self) {
        self.winner_at = None;
        self.untold_since = None;
    }

    /// What is due, and when it is due again.
    pub fn due(&mut self, now: TimestampMs) -> Due {
        let mut due = Due::default();
        if self.frames_at.is_some_and(|at| at <= now) {
            due.frames = Some(self.frames_asked);
            self.frames_at = Some(now.plus_ms(self.pause(self.frames_asked)));
            self.frames_asked += 1;
        }
        if self.winner_at.is_some_and(|at| at <= now) {
            due.winner = true;
            self.winner_at = Some(now.plus_ms(self.pause(self.winner_asked)));
            self.winner_asked += 1;
        }
        if self.quiet_at <= now {
            due.winner = true;
            self.quiet_ms = (self.quiet_ms * 2).min(self.patience.most_ms);
            self.quiet_at = now.plus_ms(self.quiet_ms);
        }
        due
    }

    fn pause(&self, asked: u32) -> i64 {
        (self.patience.gap_ms << asked.min(16)).clamp(1, self.patience.most_ms.max(1))
    }
}
