//! One sequence on its way through the engine: prompt in chunks, then a token a step, until something ends it.

use relay_clock::Clock;
use relay_schemas::{Decoding, FinishReason};
use tokio::sync::mpsc::Sender;

use super::detokenize::Detokenizer;
use super::sampling::Sampler;
use super::session::{Cache, CausalGraph};
use super::stop::StopScanner;
use super::text::TextSide;

/// What the engine is asked to do.
pub struct Generation {
    /// The prompt; never empty.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub decoding: Decoding,
    /// Most new tokens; prompt and answer fit into the model's context.
    pub max_tokens: usize,
    /// Drawn for this run; counts where the plan names no seed.
    pub seed: i64,
    /// Stop strings.
    pub stops: Vec<String>,
    /// Where the answer goes; holds [`most_events`]. Its receiver's end is the way to cancel.
    pub events: Sender<TokenEvent>,
}

/// Most events of one generation: one a chunk of the prompt but the last, whose step chooses the first token; one a token;
/// and the end. A channel of that size never makes the engine wait for its reader.
pub fn most_events(prompt: usize, max_tokens: usize, chunk: usize) -> usize {
    prompt.div_ceil(chunk) + max_tokens
}

/// What the engine says about a sequence.
#[derive(Debug)]
pub enum TokenEvent {
    /// A part of the prompt was taken in.
    Prefilled {
        /// Tokens of it that were taken in so far.
        tokens: u32,
        /// Time computed since the last event.
        compute_us: u64,
    },
    /// A token was chosen.
    Token {
        /// What may be shown because of it; often empty.
        text: String,
        /// Time computed since the last event.
        compute_us: u64,
    },
    /// The answer is complete.
    Ended {
        /// What was still held back.
        text: String,
        /// Why.
        finish_reason: FinishReason,
        /// Time computed since the last event.
        compute_us: u64,
    },
    /// The answer is not complete and will not be.
    Failed(String),
}

/// A sequence in turn.
pub struct Sequence {
    /// The prompt, and behind it the newest token.
    tokens: Vec<u32>,
    /// How many of them the cache has seen.
    seen: usize,
    left: usize,
    cache: Cache,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stops: StopScanner,
    events: Sender<TokenEvent>,
}

/// Whether a sequence wants another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It does.
    Again,
    /// It is over.
    Over,
}

impl Sequence {
    /// A sequence at its beginning.
    pub fn new(generation: Generation) -> Self {
        Self {
            sampler: Sampler::new(&generation.decoding, generation.seed),
            stops: StopScanner::new(generation.stops),
            tokens: generation.prompt,
            seen: 0,
            left: generation.max_tokens,
            cache: Cache::new(),
            detokenizer: Detokenizer::default(),
            events: generation.events,
        }
    }

    /// Whether the answer is waited for no longer.
    pub fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// One step: at most `chunk` tokens of the prompt, or one new token.
    pub fn step(&mut self, graph: &mut CausalGraph, text: &TextSide, chunk: usize, clock: &Clock) -> Turn {
        let end = self.tokens.len().min(self.seen + chunk);
        let wanted = end == self.tokens.len();
        let began = clock.instant();
        let cache = std::mem::take(&mut self.cache);
        let stepped = graph.step(&self.tokens[self.seen..end], self.seen, cache, wanted);
        let compute_us = clock.since(began).as_micros() as u64;
        let logits = match stepped {
            Ok((cache, logits)) => {
                self.cache = cache;
                self.seen = end;
                logits
            }
            Err(error) => return self.fail(format!("ONNX Runtime: {error}")),
        };
        if !wanted {
            return self.send(
                TokenEvent::Prefilled {
                    tokens: end as u32,
                    compute_us,
                },
                Turn::Again,
            );
        }
        match self.sampler.next(&logits) {
            Some(token) => self.take(token, text, compute_us),
            None => self.fail("the model's logits are not numbers".to_owned()),
        }
    }

    fn take(&mut self, token: u32, text: &TextSide, compute_us: u64) -> Turn {
        if text.ends.contains(&token) {
            return self.end(text, FinishReason::Stop, compute_us);
        }
        self.left -= 1;
        let piece = self.detokenizer.push(token, |tokens| text.decode(tokens));
        let shown = self.stops.push(&piece);
        if self.stops.stopped() {
            self.send(
                TokenEvent::Token {
                    text: shown,
                    compute_us,
                },
                Turn::Over,
            );
            return self.end(text, FinishReason::Stop, 0);
        }
        self.tokens.push(token);
        let turn = self.send(
            TokenEvent::Token {
                text: shown,
                compute_us,
            },
            Turn::Again,
        );
        if self.left == 0 {
            return self.end(text, FinishReason::Length, 0);
        }
        turn
    }

    fn end(&mut self, text: &TextSide, finish_reason: FinishReason, compute_us: u64) -> Turn {
        let mut rest = String::new();
        if !self.stops.stopped() {
            let piece = self.detokenizer.finish(|tokens| text.decode(tokens));
            rest = self.stops.push(&piece);
            rest.push_str(&self.stops.finish());
        }
        self.send(
            TokenEvent::Ended {
                text: rest,
                finish_reason,
                compute_us,
            },
            Turn::Over,
        )
    }

    fn fail(&self, reason: String) -> Turn {
        self.send(TokenEvent::Failed(reason), Turn::Over)
    }

    /// A receiver that was dropped is a cancelled run: nothing is lost. (A full channel there is not: [`most_events`].)
    fn send(&self, event: TokenEvent, turn: Turn) -> Turn {
        if self.events.try_send(event).is_err() {
            Turn::Over
        } else {
            turn
        }
    }
}
