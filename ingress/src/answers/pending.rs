//! One answer that is waited for: the follower, and what it has ready for the client.
//!
//! Its place in flight ends with the request's outcome, whether its client reads it or not. From then on what is unread counts for its
//! tenant in bytes, and where these are too many, the place stays until it is read.
//!
//! The dispatcher puts frames in, the client's task takes text out; between them lies only this lock, so a fence is
//! answered at once and pieces that arrive while the client is being written to leave together.

use parking_lot::Mutex;
use relay_lifecycle::transcript::{join, weight};
use relay_lifecycle::{Follower, Patience, Step};
use relay_schemas::{Delta, Frame, Outcome, Request, RequestId, Run, TimestampMs};
use tokio::sync::Notify;

use super::end::{Account, End};
use super::parting::Parting;
use crate::admission::keys::HeldKey;
use crate::admission::limits::Permit;

/// What an answer takes beside its text, until it is read.
const BARE: usize = 4_096;

/// A question that the answer needs an answer to.
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

/// What was there to take.
#[derive(Debug, Default)]
pub struct Taken {
    /// Pieces for the client.
    pub deltas: Vec<Delta>,
    /// Questions to ask.
    pub questions: Vec<Question>,
    /// Whether the end is known; everything before it is in `deltas` or was taken earlier.
    pub ended: bool,
    /// When to look again.
    pub next_wakeup: Option<TimestampMs>,
}

/// What is held for an answer.
#[derive(Debug)]
pub struct Holding {
    /// Its place in flight, until the request has ended.
    pub place: Option<Permit>,
    /// Its idempotency key, until then.
    pub key: Option<HeldKey>,
    /// The bytes of it that its client has not read.
    pub unread: Permit,
}

impl Holding {
    /// The request has ended, and `bytes` of its answer are still to be read.
    pub fn end(&mut self, bytes: usize) {
        self.key = None;
        if self.unread.has_room() {
            self.place = None;
        }
        self.unread.set(bytes + BARE);
    }
}

/// An answer that is waited for.
#[derive(Debug)]
pub struct Pending {
    /// Whose answer.
    pub request_id: RequestId,
    /// On which subject its frames come.
    pub reply_to: String,
    /// Its client's last line, where that went before the end.
    pub parting: Parting,
    most_unread: usize,
    progress: Mutex<Progress>,
    wake: Notify,
}

#[derive(Debug)]
struct Progress {
    follower: Follower,
    holding: Holding,
    unread: Vec<Delta>,
    unread_bytes: usize,
    /// Bytes that were taken last: the client has them once it asks for more.
    handed_out: usize,
    streamed: bool,
    questions: Vec<Question>,
    end: Option<End>,
    account: Option<Account>,
    /// Whether only the sink can tell the winner: the client chose the id, by an idempotency key, and the log may hold an end from
    /// before this ingress read it; or an outcome could not be read here.
    sink_decides: bool,
    /// The client is gone: text is dropped.
    abandoned: bool,
}

impl Pending {
    /// An answer that waits for its first frame from `now` on. Here and below times are of the steady clock.
    pub fn new(
        request: &Request,
        patience: Patience,
        most_unread: usize,
        holding: Holding,
        now: TimestampMs,
    ) -> Self {
        Self {
            request_id: request.request_id.clone(),
            reply_to: request.reply_to.clone().unwrap_or_default(),
            parting: Parting::default(),
            most_unread,
            progress: Mutex::new(Progress {
                follower: Follower::new(patience, request.stream, &request.request_hash, now),
                holding,
                unread: Vec::new(),
                unread_bytes: 0,
                handed_out: 0,
                streamed: request.stream,
                questions: Vec::new(),
                end: None,
                account: None,
                sink_decides: request.idempotency_key.is_some(),
                abandoned: false,
            }),
            wake: Notify::new(),
        }
    }

    /// A frame arrived. Where the client reads too slowly, or its tenant leaves too much unread, it is left lying: the gap is seen and
    /// asked for later.
    pub fn on_frame(&self, frame: Frame, now: TimestampMs) {
        let mut progress = self.progress.lock();
        let unread = progress.unread_bytes;
        if unread == 0 || (unread < self.most_unread && progress.holding.unread.has_room()) {
            let steps = progress.follower.on_frame(frame, now);
            self.apply(&mut progress, steps);
        }
    }

    /// Frames may have been lost.
    pub fn on_lost(&self, now: TimestampMs) {
        self.progress.lock().follower.on_lost(now);
        self.wake.notify_one();
    }

    /// The log holds an outcome, where it could be read: the first one that this ingress reads of a fresh id is the winner;
    /// of any other the sink is asked.
    pub fn on_outcome(&self, outcome: Option<&Outcome>, now: TimestampMs) {
        let mut progress = self.progress.lock();
        progress.sink_decides |= outcome.is_none();
        let steps = match outcome {
            Some(outcome) if !progress.sink_decides => {
                progress.account = Some(Account::of(outcome));
                progress.follower.on_winner(outcome, now)
            }
            outcome => {
                progress.follower.on_recorded(outcome, now);
                Vec::new()
            }
        };
        self.apply(&mut progress, steps);
    }

    /// The next outcome in the log is its first one, also where its client chose the id.
    pub fn log_decides(&self) {
        self.progress.lock().sink_decides = false;
    }

    /// The winner is known.
    pub fn on_winner(&self, outcome: &Outcome, now: TimestampMs) {
        let mut progress = self.progress.lock();
        progress.account = Some(Account::of(outcome));
        let steps = progress.follower.on_winner(outcome, now);
        self.apply(&mut progress, steps);
    }

    /// The sink knows of no end.
    pub fn on_unended(&self) {
        self.progress.lock().follower.on_unended();
    }

    /// The sink cannot tell. Where the log will, nothing hangs on that.
    pub fn on_untold(&self, now: TimestampMs) {
        let mut progress = self.progress.lock();
        if progress.sink_decides {
            progress.follower.on_untold(now);
            self.wake.notify_one();
        }
    }

    /// Fences attempts; says whether the client saw text.
    pub fn fence(&self, attempt: u32) -> bool {
        self.progress.lock().follower.fence(attempt)
    }

    /// Whether the end is known.
    pub fn has_ended(&self) -> bool {
        self.progress.lock().end.is_some()
    }

    /// The client is gone: its text need not be kept.
    pub fn abandon(&self) {
        let mut progress = self.progress.lock();
        progress.abandoned = true;
        progress.unread = Vec::new();
        (progress.unread_bytes, progress.handed_out) = (0, 0);
        progress.count();
    }

    /// Nothing is held for it any more.
    pub fn let_go(&self) {
        let mut progress = self.progress.lock();
        progress.holding.place = None;
        progress.holding.key = None;
        progress.holding.unread.set(0);
    }

    /// What is ready now, and what the passing of time asks for. What was taken before has been read.
    pub fn take(&self, now: TimestampMs) -> Taken {
        self.progress.lock().handed_out = 0;
        self.take_more(now)
    }

    /// The same, for what leaves together with what was taken last.
    pub fn take_more(&self, now: TimestampMs) -> Taken {
        let mut progress = self.progress.lock();
        if progress.follower.next_wakeup().is_some_and(|at| at <= now) {
            let steps = progress.follower.on_wakeup(now);
            self.apply(&mut progress, steps);
        }
        progress.handed_out += std::mem::take(&mut progress.unread_bytes);
        progress.count();
        Taken {
            deltas: std::mem::take(&mut progress.unread),
            questions: std::mem::take(&mut progress.questions),
            ended: progress.end.is_some(),
            next_wakeup: progress.follower.next_wakeup(),
        }
    }

    /// What the record of its end says, once that was read.
    pub fn account(&self) -> Option<Account> {
        self.progress.lock().account
    }

    /// The end, once; `take` told of it.
    pub fn take_end(&self) -> Option<End> {
        let mut progress = self.progress.lock();
        let end = progress.end.as_mut()?;
        let taken = match end {
            End::Finished { end, content } => End::Finished {
                end: end.clone(),
                content: std::mem::take(content),
            },
            End::Broken(broken) => End::Broken(*broken),
        };
        Some(taken)
    }

    /// Completes when there may be something to take.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    fn apply(&self, progress: &mut Progress, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Show(deltas) if progress.abandoned => drop(deltas),
                Step::Show(deltas) => {
                    progress.unread_bytes += deltas.iter().map(weight).sum::<usize>();
                    // One piece an event, unless the client's task is behind.
                    if progress.unread.is_empty() {
                        progress.unread = deltas;
                    } else {
                        join(&mut progress.unread, deltas);
                    }
                }
                Step::Finish { end, content } => {
                    let end = Box::new(end);
                    progress.end = Some(End::Finished { end, content });
                }
                Step::Break(broken) => progress.end = Some(End::Broken(broken)),
                Step::AskReplay { run, from_seq } => {
                    progress.questions.push(Question::Replay { run, from_seq });
                }
                Step::AskWinner => progress.questions.push(Question::Winner),
            }
        }
        progress.count();
        self.wake.notify_one();
    }
}

impl Progress {
    /// Says what is held for it now.
    fn count(&mut self) {
        let bytes = self.unread_bytes + self.handed_out;
        if self.end.is_some() || (self.streamed && self.follower.is_decided()) {
            self.holding.end(bytes + self.end.as_ref().map_or(0, End::bytes));
        } else {
            self.holding.unread.set(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relay_schemas::samples;

    use super::*;
    use crate::admission::limits::{Limits, Most};

    fn pending(limits: &Arc<Limits>) -> Pending {
        let request = Request {
            stream: true,
            ..samples::request()
        };
        let holding = Holding {
            place: Some(limits.nothing(&request.tenant)),
            key: None,
            unread: limits.nothing(&request.tenant),
        };
        Pending::new(&request, Patience::default(), 10_000, holding, TimestampMs(0))
    }

    fn shown(pending: &Pending) -> usize {
        let taken = pending.take(TimestampMs(0));
        taken.deltas.iter().map(|delta| delta.text.len()).sum()
    }

    #[test]
    fn a_tenant_that_leaves_much_unread_is_shown_it_piece_by_piece_and_one_that_reads_is_not_held_up() {
        let limits = Limits::new(Most {
            all: 10_000,
            of_tenant: 1_000,
        });
        let (unread, read) = (pending(&limits), pending(&limits));
        for seq in 0..4 {
            unread.on_frame(samples::frame(seq, &"x".repeat(600)), TimestampMs(0));
        }
        for seq in 0..3 {
            read.on_frame(samples::frame(seq, "y"), TimestampMs(0));
            assert_eq!(shown(&read), 1, "what it has read makes room");
        }
        assert_eq!(shown(&unread), 1_200, "what is beyond the limit was left lying");
        unread.on_frame(samples::frame(2, "z"), TimestampMs(0));
        assert_eq!(shown(&unread), 1, "and is taken when it comes again");
        for seq in 3..5 {
            unread.on_frame(samples::frame(seq, &"x".repeat(400)), TimestampMs(0));
            let more = unread.take_more(TimestampMs(0)).deltas;
            assert_eq!(more.len(), 1, "it leaves with the one before");
        }
        unread.on_frame(samples::frame(5, "last"), TimestampMs(0));
        unread.on_frame(samples::frame(6, "z"), TimestampMs(0));
        assert_eq!(
            shown(&unread),
            4,
            "all that left together counts until the client asks for more"
        );
        unread.let_go();
        read.let_go();
        assert!(limits.take(&samples::request().tenant, 1_000).is_ok());
    }
}
