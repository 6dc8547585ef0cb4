//! An answer read to its end, as a stream of events or as one body, whichever was asked for and whichever comes.
//!
//! An answer is complete once every choice that was asked for has said why it ended. What comes behind (usage, `[DONE]`, the
//! connection's end) is waited for [`AFTER_THE_END`], and not missed: pings, silence or a cut no longer change anything.
//! What is at hand at once is read at once and leaves together: a burst of chunks costs one wake-up, here and at the ingress.
//! Fewer choices than were asked for are no answer, and more are passed over. Without an end nothing is complete, and pings are
//! not an answer: the request's deadline ends them.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use prometheus::{IntCounter, IntCounterVec};
use relay_api::json::DEEPEST;
use relay_clock::Clock;
use relay_schemas::FinishReason;
use reqwest::Response;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::error::Failed;
use super::events::{Chunk, chunk, whole};
use super::request::Question;
use super::sse::{SseParser, TooLarge};
use crate::backend::{Code, Finished};
use crate::emitter::{Emitter, Fit, Oversized};
use crate::models::RemoteSpec;

/// How long is waited for usage and `[DONE]` once every choice has ended.
const AFTER_THE_END: Duration = Duration::from_secs(1);

/// Bytes that are read at once, about, where they are there at once: more would keep the first of them waiting.
const MOST_AT_ONCE: usize = 64 * 1_024;

/// How long bytes are read at once, where more of them are always there.
const LONGEST_AT_ONCE: Duration = Duration::from_millis(1);

/// What reading needs.
pub struct Reading<'a> {
    /// Whose answer it is.
    pub endpoint: &'a Endpoint,
    /// Its limits.
    pub spec: &'a RemoteSpec,
    /// Tells the time.
    pub clock: &'a Clock,
    /// What was asked.
    pub question: &'a Question,
    /// When the endpoint was asked, and how long its first bytes, or its whole answer, are waited for.
    pub patience: Patience,
    /// Counts what could not be understood, and what did not fit.
    pub counters: &'a Counters,
}

/// How long is waited for what was asked for at a time.
#[derive(Clone, Copy)]
pub struct Patience {
    /// From when on.
    pub since: Instant,
    /// How long.
    pub most: Duration,
}

impl Patience {
    /// What is left of it.
    pub fn left(self, clock: &Clock) -> Duration {
        self.most.saturating_sub(clock.since(self.since))
    }
}

/// What of answers did not come through.
#[derive(Clone)]
pub struct Counters {
    /// Chunks that were not understood, by what came of it.
    pub not_understood: IntCounterVec,
    /// Fields that were dropped for their size.
    pub dropped: IntCounter,
}

/// The bytes so far: not yet known as what, a stream of events, or one body.
enum Body {
    Unknown(Vec<u8>),
    Events(SseParser),
    Whole(Vec<u8>),
}

/// An answer in the course of being read.
struct Progress {
    answer: Answer,
    /// An event has come.
    events: bool,
    /// `[DONE]` has come.
    done: bool,
    wrong: Option<Failed>,
}

/// What came next.
enum Next {
    Bytes(Bytes),
    End,
    Cut,
    Silence(Duration),
}

impl Reading<'_> {
    /// Reads the answer, and sends on what it says as it comes.
    pub async fn read(&self, mut response: Response, out: &mut Emitter) -> Result<Finished, Failed> {
        let mut body = Body::Unknown(Vec::new());
        let mut progress = Progress {
            answer: Answer::of(self.question.choices),
            events: false,
            done: false,
            wrong: None,
        };
        let mut bytes = 0;
        let mut complete_since = None;
        let mut has_begun = false;
        loop {
            // Blanks do not begin a whole answer, and give it no more time.
            let patience = match has_begun {
                false if self.question.whole => self.patience.left(self.clock),
                false => self.patience.most,
                true => self.spec.idle_timeout,
            };
            let left = complete_since.map(|since| AFTER_THE_END.saturating_sub(self.clock.since(since)));
            let mut next = next(&mut response, left.map_or(patience, |left| patience.min(left))).await;
            let came_at = self.clock.instant();
            let most = (bytes + MOST_AT_ONCE).min(self.spec.max_body.as_usize());
            loop {
                match &next {
                    Next::Bytes(chunk) => {
                        bytes += chunk.len();
                        if self.take(&mut body, chunk, &mut progress).is_err() {
                            progress.wrong.get_or_insert_with(too_large);
                        }
                    }
                    Next::End => self.end(&mut body, &mut progress),
                    // One body says by itself where it ends.
                    Next::Cut | Next::Silence(_) if is_json(&body) => self.end(&mut body, &mut progress),
                    Next::Cut | Next::Silence(_) => {}
                }
                // Behind an error or the end of all nothing counts.
                let goes_on = matches!(next, Next::Bytes(_)) && !progress.done && progress.wrong.is_none();
                // The first text of all is waited for, and leaves at once.
                let is_first = !out.has_begun() && !progress.answer.deltas.is_empty();
                if !goes_on || bytes > most || is_first || self.clock.since(came_at) >= LONGEST_AT_ONCE {
                    break;
                }
                let Some(more) = at_hand(&mut response).await else {
                    break;
                };
                next = more;
            }
            // Some keep a connection open with blanks until a whole answer is there.
            has_begun = !(self.question.whole && matches!(body, Body::Unknown(_)));
            if self.question.whole && matches!(body, Body::Whole(_)) {
                out.comes_in_one_piece();
            }
            let spoke = !progress.answer.deltas.is_empty();
            if let Some(usage) = progress.answer.usage() {
                out.told_usage(usage);
            }
            // Text that came before an error was produced, and is shown.
            if send_on(&mut progress.answer, out).await? == Fit::Cut {
                return Ok(Finished::with(FinishReason::Length));
            }
            let complete = progress.answer.has_all();
            match (next, progress.wrong.take()) {
                (_, Some(wrong)) => return Err(wrong),
                // Pings behind a complete answer are none of it, however many they are.
                (Next::Bytes(_), _) if bytes > self.spec.max_body.as_usize() && (spoke || !complete) => {
                    return Err(too_large());
                }
                (Next::Bytes(_), _) if bytes <= self.spec.max_body.as_usize() && !progress.done => {}
                _ if complete => return Ok(self.finished(progress.answer, out)),
                (Next::Silence(_), _) if !has_begun => {
                    return Err(Failed::silent("answered", self.patience.most, true));
                }
                (Next::Silence(waited), _) => return Err(Failed::silent("sent anything", waited, false)),
                // An end without a reason is a connection that was cut where it happened to look like an end.
                (Next::Cut, _) => return Err(Failed::broken_off()),
                (Next::Bytes(_) | Next::End, _) => return Err(unfinished(&progress, &body, bytes)),
            }
            // An endpoint that gives a reason with every chunk may go on all the same.
            if !complete {
                complete_since = None;
            } else if spoke || complete_since.is_none() {
                complete_since = Some(self.clock.instant());
            }
        }
    }

    /// Takes bytes in.
    fn take(&self, body: &mut Body, chunk: &[u8], progress: &mut Progress) -> Result<(), TooLarge> {
        match body {
            Body::Events(parser) => return parser.push(chunk, |data| self.take_event(data, progress)),
            Body::Whole(bytes) => bytes.extend_from_slice(chunk),
            Body::Unknown(bytes) => {
                bytes.extend_from_slice(chunk);
                // No event begins like JSON.
                let blank = |byte: &u8| byte.is_ascii_whitespace() || "\u{FEFF}".as_bytes().contains(byte);
                let Some(first) = bytes.iter().find(|byte| !blank(byte)) else {
                    return Ok(());
                };
                if matches!(first, b'{' | b'[') {
                    *body = Body::Whole(std::mem::take(bytes));
                } else {
                    let begun = std::mem::take(bytes);
                    *body = Body::Events(SseParser::default());
                    return self.take(body, &begun, progress);
                }
            }
        }
        Ok(())
    }

    /// Nothing follows.
    fn end(&self, body: &mut Body, progress: &mut Progress) {
        match body {
            Body::Unknown(_) => {}
            Body::Events(parser) => parser.finish(|data| self.take_event(data, progress)),
            Body::Whole(bytes) => {
                let said = whole(bytes, &mut progress.answer);
                self.judge(said, progress);
                if progress.wrong.is_none() && progress.answer.lacks_vectors() {
                    let message = "the endpoint gave other vectors than one for each text that was sent";
                    progress.wrong = Some(Failed::for_good(Code::BackendError, message));
                }
            }
        }
    }

    fn take_event(&self, data: &str, progress: &mut Progress) {
        progress.events = true;
        let said = chunk(data, &mut progress.answer);
        self.judge(said, progress);
    }

    fn judge(&self, said: Chunk, progress: &mut Progress) {
        // Behind the end nothing can be lost, and nothing go wrong.
        let complete = progress.answer.has_all();
        let wrong = match said {
            Chunk::Part => None,
            Chunk::Done => {
                progress.done = true;
                None
            }
            Chunk::Failed(error) => (!complete).then(|| self.endpoint.meaning(&error)),
            Chunk::Foreign | Chunk::Beyond => self.counted("skipped", None),
            Chunk::Unreadable | Chunk::Deep if complete => self.counted("skipped", None),
            Chunk::Unreadable => self.counted("failed", Some("what is no part of an answer".to_owned())),
            Chunk::Deep => {
                let what = format!("JSON that is nested deeper than {DEEPEST} levels");
                self.counted("failed", Some(what))
            }
        };
        if progress.wrong.is_none() {
            let gave_up = || Failed::for_now(Code::BackendError, "the endpoint gave the answer up");
            progress.wrong = wrong.or_else(|| progress.answer.has_failed().then(gave_up));
        }
    }

    /// The end of a run, which tells what of it was dropped.
    fn finished(&self, answer: Answer, out: &Emitter) -> Finished {
        let (finished, dropped) = answer.finished(out.dropped(), &self.question.omitted);
        if !dropped.is_nothing() {
            self.counters.dropped.inc_by(dropped.fields);
            tracing::warn!(
                gen_ai.request.model = self.spec.upstream_model,
                fields = dropped.fields,
                bytes = dropped.bytes,
                "an endpoint's answer had larger fields beside its text than are kept; it says so under `relay_dropped`"
            );
        }
        finished
    }

    /// Counts what was not understood; a failure, where it may have been text.
    fn counted(&self, effect: &str, what: Option<String>) -> Option<Failed> {
        self.counters.not_understood.with_label_values(&[effect]).inc();
        what.map(|what| Failed::for_good(Code::BackendError, format!("the endpoint sent {what}")))
    }
}

/// The next bytes, for which is waited `patience` at most.
async fn next(response: &mut Response, patience: Duration) -> Next {
    match timeout(patience, response.chunk()).await {
        Err(_) => Next::Silence(patience),
        Ok(read) => came(read),
    }
}

/// What is there already, without a wait for more. The connection is a task of its own, which hands over a chunk at a time: it is
/// let run once before nothing counts as being there.
async fn at_hand(response: &mut Response) -> Option<Next> {
    if let Some(read) = response.chunk().now_or_never() {
        return Some(came(read));
    }
    let mut has_let = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_let, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    response.chunk().now_or_never().map(came)
}

fn came(read: reqwest::Result<Option<Bytes>>) -> Next {
    match read {
        Err(_) => Next::Cut,
        Ok(None) => Next::End,
        Ok(Some(chunk)) => Next::Bytes(chunk),
    }
}

fn is_json(body: &Body) -> bool {
    matches!(body, Body::Whole(bytes) if serde_json::from_slice::<IgnoredAny>(bytes).is_ok())
}

async fn send_on(answer: &mut Answer, out: &mut Emitter) -> Result<Fit, Failed> {
    let vectors = std::mem::take(&mut answer.vectors);
    if !vectors.is_empty() && out.embeddings(&vectors) == Fit::Cut {
        // Half a vector is none: the client can ask for fewer at once.
        let message = "the vectors are larger together than an answer may be; ask for fewer at once";
        return Err(Failed::for_good(Code::InvalidRequest, message));
    }
    let mut deltas = std::mem::take(&mut answer.deltas);
    let tokens = std::mem::take(&mut answer.tokens);
    let oversized = |delta| out.oversized(std::slice::from_ref(delta));
    let oversized = deltas
        .iter()
        .enumerate()
        .find_map(|(at, delta)| Some((at, oversized(delta)?)));
    if let Some((at, Oversized { size, room })) = oversized {
        // What came before it is shown.
        deltas.truncate(at);
        if !deltas.is_empty() {
            out.deltas(deltas, tokens).await;
        }
        let message = format!(
            "the endpoint said one field or entry of {size} bytes, of which a streamed message has room for {room}; ask without streaming"
        );
        return Err(Failed::for_good(Code::BackendError, message));
    }
    Ok(out.deltas(deltas, tokens).await)
}

/// Why a body or a stream that came to its end in good order is no answer.
fn unfinished(progress: &Progress, body: &Body, bytes: usize) -> Failed {
    let (came, asked) = progress.answer.counts();
    if progress.answer.is_complete() && came < asked as usize {
        let message = format!("the endpoint answered with {came} of the {asked} choices that were asked for");
        return Failed::for_good(Code::BackendError, message);
    }
    let message = match body {
        _ if bytes == 0 => "the endpoint answered with nothing, an empty body",
        Body::Events(_) if !progress.events => {
            "the endpoint answered with what is neither JSON nor a stream of events, such as a page of HTML"
        }
        Body::Whole(_) => "the endpoint's answer holds no choice that is finished",
        _ if progress.done => {
            "the endpoint said `[DONE]` without a `finish_reason`: its answer may lack its end"
        }
        _ => "the endpoint's stream ended without a `finish_reason`: its answer may lack its end",
    };
    Failed::for_now(Code::BackendError, message)
}

fn too_large() -> Failed {
    Failed::for_good(Code::BackendError, "the endpoint's answer is too large")
}
