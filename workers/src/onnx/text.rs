//! Text to tokens and back, as a model's own files say.

use std::path::Path;

use relay_schemas::TimestampMs;
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::files::{LoadError, ModelConfig, TokenIds, read_json};
use super::plain::{Author, ControlTokens, Pen};
use super::template::ChatTemplate;
use crate::prompt::{Prompt, PromptMessage, TRANSCRIPT_STOP, transcript};

/// Everything about a model but its weights.
pub struct TextSide {
    pub(super) tokenizer: Tokenizer,
    controls: ControlTokens,
    pub(super) template: Option<ChatTemplate>,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// Most tokens of prompt and answer together.
    pub context: usize,
}

/// A prompt as the engine takes it.
pub struct Encoded {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// A stop string that comes with the way the prompt was put together.
    pub stop: Option<&'static str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    bos_token: Option<Special>,
    eos_token: Option<Special>,
    chat_template: Option<Templates>,
    model_max_length: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Special {
    Text(String),
    Token { content: String },
}

/// One template, or several by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<Named>),
}

#[derive(Deserialize)]
struct Named {
    name: String,
    template: String,
}

impl Special {
    fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Token { content: text } => text,
        }
    }
}

/// Where nothing says how much a model can hold.
const DEFAULT_CONTEXT: usize = 2_048;

impl TextSide {
    /// Reads the folder; `max_context` overrides what it says.
    pub fn load(folder: &Path, max_context: Option<usize>) -> Result<Self, LoadError> {
        let path = folder.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| LoadError::file(&path, error))?;
        // A file may carry the truncation and padding of its training.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|error| LoadError::file(&path, error))?;
        let config: ModelConfig = read_json(folder, "config.json")?.unwrap_or_default();
        let generation: ModelConfig = read_json(folder, "generation_config.json")?.unwrap_or_default();
        let tokenizer_config: TokenizerConfig =
            read_json(folder, "tokenizer_config.json")?.unwrap_or_default();

        let special = |token: &Option<Special>| token.as_ref().map_or("", Special::as_str).to_owned();
        let (bos, eos) = (
            special(&tokenizer_config.bos_token),
            special(&tokenizer_config.eos_token),
        );
        let listed = [&generation.eos_token_id, &config.eos_token_id];
        let listed = listed.into_iter().flatten().flat_map(TokenIds::as_slice).copied();
        let mut ends: Vec<u32> = listed.chain(tokenizer.token_to_id(&eos)).collect();
        ends.sort_unstable();
        ends.dedup();

        let source = template_source(folder, tokenizer_config.chat_template)?;
        let template = source
            .as_ref()
            .map(|source| ChatTemplate::compile(source, &bos, &eos))
            .transpose()
            .map_err(|error| LoadError::file(folder, format!("the chat template: {error}")))?;
        let named = ends.iter().filter_map(|id| tokenizer.id_to_token(*id));
        let named: Vec<String> = named.chain([bos, eos]).collect();
        let controls = ControlTokens::of(&tokenizer, &named, source.as_deref())
            .map_err(|error| LoadError::file(&path, error))?;
        // `model_max_length` is 1e30 where it was never set.
        let from_tokenizer = tokenizer_config
            .model_max_length
            .filter(|length| (1.0..1e9).contains(length));
        let context = config.context().or(from_tokenizer.map(|length| length as usize));
        let context = max_context.or(context).unwrap_or(DEFAULT_CONTEXT);
        Ok(Self {
            tokenizer,
            controls,
            template,
            ends,
            context,
        })
    }

    /// The prompt's tokens. Errors say nothing of the prompt.
    pub fn encode(&self, prompt: &Prompt, now: TimestampMs) -> Result<Encoded, String> {
        let mut pen = self.controls.pen(&self.tokenizer, &prompt.texts())?;
        // A rendered conversation holds its special tokens already, as `transformers` has it.
        let (text, add_special, stop) = match (prompt, &self.template) {
            (Prompt::Chat(messages), Some(template)) => {
                let messages: Vec<PromptMessage> =
                    messages.iter().map(|message| write(message, &mut pen)).collect();
                (template.render(&messages, now)?, false, None)
            }
            (Prompt::Chat(messages), None) => {
                let transcript = transcript(messages);
                (pen.write(&transcript, Author::Other), true, Some(TRANSCRIPT_STOP))
            }
            (Prompt::Text(text), _) => (pen.write(text, Author::Other), true, None),
        };
        let tokens = pen.tokenize(&text, add_special);
        let tokens = tokens.map_err(|_| "the prompt cannot be tokenized".to_owned())?;
        Ok(Encoded { tokens, stop })
    }

    /// The text of `tokens`, without special tokens.
    pub fn decode(&self, tokens: &[u32]) -> String {
        // The decoders that `tokenizers` ships fail on nothing but ids outside the vocabulary, which have no text.
        self.tokenizer.decode(tokens, true).unwrap_or_default()
    }
}

fn write(message: &PromptMessage, pen: &mut Pen<'_>) -> PromptMessage {
    let author = if message.role == "assistant" {
        Author::Assistant
    } else {
        Author::Other
    };
    PromptMessage {
        role: pen.write(&message.role, Author::Other),
        content: pen.write(&message.content, author),
        name: message.name.as_ref().map(|name| pen.write(name, Author::Other)),
    }
}

fn template_source(folder: &Path, configured: Option<Templates>) -> Result<Option<String>, LoadError> {
    let path = folder.join("chat_template.jinja");
    match std::fs::read_to_string(&path) {
        Ok(source) => return Ok(Some(source)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(LoadError::file(&path, error)),
    }
    Ok(match configured {
        Some(Templates::One(source)) => Some(source),
        Some(Templates::Named(named)) => named
            .into_iter()
            .find(|named| named.name == "default")
            .map(|named| named.template),
        None => None,
    })
}
