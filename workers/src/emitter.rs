//! An answer on its way: what has come so far, counted and bounded, and sent on in frames where it is streamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use relay_clock::Clock;
use relay_lifecycle::Transcript;
use relay_lifecycle::transcript::indivisible;
use relay_runner::crash_point;
use relay_schemas::{Delta, Embedding, Usage};

use crate::dropped::Dropped;
use crate::fit::{content, fitting};
use crate::meter::{Meter, Sent, Used};
use crate::stream::Stream;

/// Whether a piece was taken as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It was.
    Whole,
    /// It was cut: the answer is as large as answers may be.
    Cut,
}

/// A part of an answer that cannot be streamed: it cannot be cut, and no frame has room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Its bytes.
    pub size: usize,
    /// Bytes that a frame can carry.
    pub room: usize,
}

/// Takes an answer in, piece by piece. What it has is there also when the run is dropped.
pub struct Emitter {
    traceparent: Option<String>,
    transcript: Transcript,
    most_bytes: usize,
    bytes: usize,
    dropped: Dropped,
    tokens: u32,
    shown: Arc<AtomicU32>,
    meter: Meter,
    seed: Option<i64>,
    first_token_at: Option<Instant>,
    in_one_piece: bool,
    others_left: bool,
    clock: Clock,
    stream: Option<Stream>,
}

impl Emitter {
    /// An emitter that sends pieces to `stream`, if there is one, and tells the status of `shown` tokens.
    pub fn new(most_bytes: usize, shown: Arc<AtomicU32>, stream: Option<Stream>, clock: Clock) -> Self {
        Self {
            traceparent: None,
            transcript: Transcript::default(),
            most_bytes,
            bytes: 0,
            dropped: Dropped::default(),
            tokens: 0,
            shown,
            meter: Meter::default(),
            seed: None,
            first_token_at: None,
            in_one_piece: false,
            others_left: false,
            clock,
            stream,
        }
    }

    /// Of a request that belongs to this trace, as its client said.
    #[must_use]
    pub fn of_trace(self, traceparent: Option<String>) -> Self {
        Self { traceparent, ..self }
    }

    /// The trace that the request belongs to, for whoever is asked next.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Takes the next piece of text, made of `tokens` new tokens; either may be nothing.
    pub async fn text(&mut self, text: &str, tokens: u32) -> Fit {
        self.deltas(vec![Delta::text(text)], tokens).await
    }

    /// Takes the next pieces, made of `tokens` new tokens; either may be nothing. What is too large is cut where it may be;
    /// fields that nobody here knows give way to what was said.
    pub async fn deltas(&mut self, mut deltas: Vec<Delta>, tokens: u32) -> Fit {
        deltas.retain(|delta| !delta.is_empty());
        let is_something = tokens > 0 || !deltas.is_empty();
        let left = self.most_bytes.saturating_sub(self.bytes);
        let mut size: usize = deltas.iter().map(content).sum();
        for delta in &mut deltas {
            if size > left {
                size -= content(delta);
                self.dropped = self.dropped.and(without_unknown(delta));
                size += content(delta);
            }
        }
        let (fit, taken, tokens) = if size <= left {
            (Fit::Whole, deltas, tokens)
        } else {
            let taken = fitting(deltas, left);
            let kept: usize = taken.iter().map(content).sum();
            // What is not kept does not count.
            let tokens = (tokens as usize * kept).div_ceil(size);
            (Fit::Cut, taken, u32::try_from(tokens).unwrap_or(u32::MAX))
        };
        self.bytes += taken.iter().map(content).sum::<usize>();
        if is_something {
            self.count(tokens);
        }
        for delta in &taken {
            self.transcript.apply_delta(delta);
        }
        if let Some(stream) = &mut self.stream {
            stream.pieces(taken, self.tokens).await;
        }
        fit
    }

    /// What of these pieces cannot be streamed, if they are to be. (A whole answer may come by the log instead.)
    pub fn oversized(&self, deltas: &[Delta]) -> Option<Oversized> {
        let room = self.stream.as_ref()?.room();
        let size = deltas.iter().map(indivisible).max()?;
        (size > room).then_some(Oversized { size, room })
    }

    /// Takes vectors, which are only ever shown as a whole.
    pub fn embeddings(&mut self, vectors: &[Embedding]) -> Fit {
        self.count(0);
        let bytes = |vector: &Embedding| vector.values.len() * size_of::<f32>();
        self.bytes += vectors.iter().map(bytes).sum::<usize>();
        if self.bytes > self.most_bytes {
            return Fit::Cut;
        }
        for vector in vectors {
            self.transcript.apply_embedding(vector);
        }
        Fit::Whole
    }

    fn count(&mut self, tokens: u32) {
        if self.first_token_at.is_none() {
            self.first_token_at = Some(self.clock.instant());
            crash_point(relay_schemas::Service::Workers, "first_token");
        }
        self.tokens += tokens;
        self.shown.store(self.tokens, Ordering::Relaxed);
    }

    /// So many tokens of the prompt were taken in.
    pub fn prompt_tokens(&mut self, tokens: u32) {
        self.meter.prompt_tokens(tokens);
    }

    /// The model computed for so long.
    pub fn computed_us(&mut self, us: u64) {
        self.meter.computed(Duration::from_micros(us));
    }

    /// Whether another candidate could answer where this one does not: it needs time for that.
    pub fn others_left(&self) -> bool {
        self.others_left
    }

    /// An endpoint is asked, with a prompt that is estimated to have so many tokens.
    pub fn asks(&mut self, prompt_tokens: u32) -> Sent {
        self.in_one_piece = false;
        self.meter.ask(prompt_tokens)
    }

    /// It refused, and computed nothing.
    pub fn refused(&mut self) {
        self.meter.refused();
    }

    /// It has answered, as far as it ever will.
    pub fn answered(&mut self) {
        self.meter.over(self.clock.instant());
    }

    /// The endpoint counted so much so far.
    pub fn told_usage(&mut self, usage: Usage) {
        self.meter.told(usage);
    }

    /// The answer comes in one piece, as it was asked for: when its first token was there is not known.
    pub fn comes_in_one_piece(&mut self) {
        self.in_one_piece = true;
    }

    /// The sampler's seed, where the plan named none.
    pub fn seed_drawn(&mut self, seed: i64) {
        self.seed = Some(seed);
    }

    /// Whether anything of an answer has come: from then on the same model is not asked again.
    pub fn has_begun(&self) -> bool {
        self.first_token_at.is_some()
    }

    /// Whether a client may have seen anything of it: from then on no other model may start over.
    pub fn has_shown(&self) -> bool {
        self.has_begun() && self.stream.is_some()
    }

    /// Forgets what has come, of which nothing was shown: another model answers, behind which there are others, or not. The time that
    /// was computed stays.
    pub fn start_over(&mut self, others_left: bool) {
        self.others_left = others_left;
        self.transcript = Transcript::default();
        (self.bytes, self.tokens) = (0, 0);
        self.dropped = Dropped::default();
        self.shown.store(0, Ordering::Relaxed);
        self.meter.start_over();
        (self.seed, self.first_token_at, self.in_one_piece) = (None, None, false);
    }

    /// Fields that did not fit.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Everything that was taken in.
    pub fn into_parts(self) -> Taken {
        Taken {
            transcript: self.transcript,
            used: self.meter.used(self.tokens, self.clock.instant()),
            seed: self.seed,
            began: self.first_token_at.is_some(),
            first_token_at: self.first_token_at.filter(|_| !self.in_one_piece),
            stream: self.stream,
        }
    }
}

/// Takes the fields out that nobody here knows, but for those of tool calls, which may be all that a call says.
fn without_unknown(delta: &mut Delta) -> Dropped {
    let mut dropped = Dropped::default();
    for fields in [&mut delta.extra, &mut delta.choice_extra] {
        if let Some(fields) = fields.take() {
            dropped.add(fields.len());
        }
    }
    dropped
}

/// What an [`Emitter`] has taken in.
pub struct Taken {
    /// The answer so far.
    pub transcript: Transcript,
    /// What the run has used.
    pub used: Used,
    /// The seed, if one was drawn.
    pub seed: Option<i64>,
    /// Whether anything of the answer has come.
    pub began: bool,
    /// When its first token came, as far as that is known.
    pub first_token_at: Option<Instant>,
    /// The frames' way, for the last of them.
    pub stream: Option<Stream>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn unknown_fields_that_do_not_fit_are_dropped_and_the_text_goes_on() {
        let shown = Arc::new(AtomicU32::new(0));
        let mut emitter = Emitter::new(100, shown, None, Clock::system());
        let piece = Delta {
            extra: Some(format!("{{\"x\":\"{}\"}}", "q".repeat(200))),
            ..Delta::text("a")
        };
        assert_eq!(emitter.deltas(vec![piece], 1).await, Fit::Whole);
        assert_eq!(emitter.text("b", 1).await, Fit::Whole);
        let dropped = emitter.dropped();
        assert_eq!((dropped.fields, dropped.bytes), (1, 208));
        assert_eq!(emitter.into_parts().transcript.first_text(), "ab");
    }

    #[tokio::test]
    async fn an_answer_is_cut_at_a_character_where_it_becomes_too_large() {
        let shown = Arc::new(AtomicU32::new(0));
        let mut emitter = Emitter::new(5, shown.clone(), None, Clock::system());
        assert!(!emitter.has_begun());
        assert_eq!(emitter.text("", 0).await, Fit::Whole);
        assert!(!emitter.has_begun(), "nothing came");
        assert_eq!(emitter.text("abc", 1).await, Fit::Whole);
        assert_eq!(emitter.text("d€", 2).await, Fit::Cut);
        assert_eq!(emitter.text("f", 1).await, Fit::Whole);
        assert!(emitter.has_begun());
        assert_eq!(
            shown.load(Ordering::Relaxed),
            3,
            "the token that was cut off does not count"
        );
        assert_eq!(emitter.into_parts().transcript.first_text(), "abcdf");
    }
}
