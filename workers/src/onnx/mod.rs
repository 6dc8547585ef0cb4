//! Models that run here, on ONNX Runtime.
//!
//! `files`, `text` and `session` read a model's folder; `engine` is the thread that runs it, `sequence` one answer on its way;
//! `sampling`, `stop`, `detokenize`, `template` and `plain` are pure.

mod detokenize;
mod engine;
mod files;
mod library;
mod plain;
mod sampling;
mod sequence;
mod session;
mod stop;
mod template;
mod text;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use relay_clock::Clock;
use relay_runner::Chance;
use relay_schemas::{FinishReason, Work};
use tokio::sync::mpsc::{self, Receiver};

use self::engine::{Engine, EngineLimits};
pub use self::files::LoadError;
pub use self::library::path as library_path;
use self::sequence::{Generation, TokenEvent, most_events};
use self::session::CausalGraph;
use self::text::{Encoded, TextSide};
use crate::backend::{Backend, Code, Failure, Finished};
use crate::emitter::{Emitter, Fit};
use crate::models::{Device, OnnxSpec};
use crate::prompt;

/// A loaded model and its engine.
pub struct OnnxModel {
    engine: Engine,
    text: Arc<TextSide>,
    version: String,
    clock: Clock,
    chance: Chance,
}

impl OnnxModel {
    /// Reads, checks and loads everything; takes as long as the disk and ONNX Runtime take. `device` is where it runs unless
    /// the specification says otherwise.
    pub fn load(
        name: &str,
        spec: &OnnxSpec,
        library: &Path,
        device: Device,
        clock: &Clock,
        chance: &Chance,
    ) -> Result<Self, LoadError> {
        let environment = library::environment(library)?;
        let graph = files::choose_graph(spec)?;
        let text = Arc::new(TextSide::load(&spec.path, spec.max_context)?);
        let version = files::version(&spec.path, &graph)?;
        let device = spec.execution_provider.unwrap_or(device);
        let session = CausalGraph::load(&environment, &graph.path, spec, device)?;
        let limits = EngineLimits {
            prefill_chunk: spec.prefill_chunk,
            max_sequences: spec.max_sequences,
        };
        let engine = Engine::start(name, session, text.clone(), limits, clock.clone())
            .map_err(|error| LoadError::Graph(format!("no thread for the engine: {error}")))?;
        tracing::info!(
            gen_ai.request.model = name,
            model.version = version,
            model.graph = %graph.path.display(),
            model.graph_kind = ?graph.kind,
            model.context_tokens = text.context,
            "a model is loaded"
        );
        Ok(Self {
            engine,
            text,
            version,
            clock: clock.clone(),
            chance: chance.clone(),
        })
    }

    async fn encode(&self, work: &Work) -> Result<Encoded, Failure> {
        let text = self.text.clone();
        let request = work.request.clone();
        let now = self.clock.now();
        // A long prompt takes milliseconds to tokenize: not on a thread that others wait for.
        let encoded = tokio::task::spawn_blocking(move || text.encode(&prompt::of(&request)?, now)).await;
        encoded
            .map_err(|error| Failure::new(Code::BackendError, format!("tokenizing stopped: {error}")))?
            .map_err(|reason| Failure::new(Code::InvalidRequest, reason))
    }

    fn generation(
        &self,
        work: &Work,
        encoded: Encoded,
        out: &mut Emitter,
    ) -> Result<(Generation, Receiver<TokenEvent>), Failure> {
        let Encoded { tokens: prompt, stop } = encoded;
        let context = self.text.context;
        if prompt.is_empty() {
            return Err(Failure::new(Code::InvalidRequest, "the prompt is empty"));
        }
        if prompt.len() >= context {
            let message = format!(
                "the prompt has {} tokens; this model holds {context}, the answer included",
                prompt.len()
            );
            return Err(Failure::new(Code::ContextLengthExceeded, message));
        }
        let decoding = work.planning.plan.decoding.clone();
        let seed = decoding.seed.unwrap_or_else(|| self.chance.draw());
        if decoding.temperature > 0.0 {
            out.seed_drawn(seed);
        }
        let max_tokens = (decoding.max_tokens.0 as usize).min(context - prompt.len());
        let most = most_events(prompt.len(), max_tokens, self.engine.prefill_chunk());
        let (events, receiver) = mpsc::channel(most);
        let generation = Generation {
            max_tokens,
            stops: decoding
                .stop
                .iter()
                .cloned()
                .chain(stop.map(str::to_owned))
                .collect(),
            prompt,
            decoding,
            seed,
            events,
        };
        Ok((generation, receiver))
    }
}

#[async_trait]
impl Backend for OnnxModel {
    async fn run(&self, work: &Work, out: &mut Emitter) -> Result<Finished, Failure> {
        let encoded = self.encode(work).await?;
        let prompt_tokens = encoded.tokens.len() as u32;
        let (generation, mut events) = self.generation(work, encoded, out)?;
        if generation.max_tokens == 0 {
            out.prompt_tokens(prompt_tokens);
            return Ok(Finished::with(FinishReason::Length));
        }
        if !self.engine.submit(generation) {
            let message = "the model's engine has stopped";
            return Err(Failure::before_it_began(Code::BackendUnavailable, message));
        }
        take(&mut events, prompt_tokens, out).await
    }

    fn turns(&self) -> u32 {
        self.engine.turns()
    }

    fn version(&self) -> &str {
        &self.version
    }
}

/// Takes an answer in to its end. What is ready together travels together, and what came before a failure was produced: it is shown.
async fn take(
    events: &mut Receiver<TokenEvent>,
    prompt_tokens: u32,
    out: &mut Emitter,
) -> Result<Finished, Failure> {
    while let Some(mut event) = events.recv().await {
        let (mut text, mut tokens) = (String::new(), 0);
        let ended = loop {
            match event {
                TokenEvent::Prefilled { tokens, compute_us } => {
                    out.prompt_tokens(tokens);
                    out.computed_us(compute_us);
                }
                TokenEvent::Token {
                    text: piece,
                    compute_us,
                } => {
                    text.push_str(&piece);
                    tokens += 1;
                    out.prompt_tokens(prompt_tokens);
                    out.computed_us(compute_us);
                }
                TokenEvent::Ended {
                    text: rest,
                    finish_reason,
                    compute_us,
                } => {
                    text.push_str(&rest);
                    out.prompt_tokens(prompt_tokens);
                    out.computed_us(compute_us);
                    break Some(Ok(Finished::with(finish_reason)));
                }
                TokenEvent::Failed(reason) => break Some(Err(Failure::new(Code::BackendError, reason))),
            }
            match events.try_recv() {
                Ok(next) => event = next,
                Err(_) => break None,
            }
        };
        if out.text(&text, tokens).await == Fit::Cut {
            return Ok(Finished::with(FinishReason::Length));
        }
        if let Some(ended) = ended {
            return ended;
        }
    }
    Err(Failure::new(Code::BackendError, "the model's engine has stopped"))
}

#[cfg(test)]
mod tests;
