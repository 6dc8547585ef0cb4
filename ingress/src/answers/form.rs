//! How an answer is written, by the operation that it answers: this is where the operations of the API differ. Pure.

use relay_api::chat;
use relay_api::completions;
use relay_api::embeddings::{self, Encoding};
use relay_api::response::Facts;
use relay_lifecycle::Transcript;
use relay_schemas::{Delta, Final, Operation};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A chat completion.
    Chat,
    /// A completion.
    Completion,
    /// Embeddings.
    Embedding(Encoding),
}

impl Form {
    /// The form that `body` asks for.
    pub fn of(operation: Operation, body: &str) -> Self {
        match operation {
            Operation::Chat => Self::Chat,
            Operation::Completion => Self::Completion,
            Operation::Embedding => {
                let asked = embeddings::Embeddings::read(body).ok();
                Self::Embedding(asked.and_then(|asked| asked.encoding_format).unwrap_or_default())
            }
        }
    }

    /// The answer in one piece.
    pub fn whole(self, facts: Facts<'_>, end: &Final, content: &Transcript) -> String {
        match self {
            Self::Chat => chat::render::completion(facts, end, content.choices()),
            Self::Completion => completions::render::completion(facts, end, content.choices()),
            Self::Embedding(encoding) => {
                embeddings::render::vectors(facts, end, content.embeddings(), encoding)
            }
        }
    }

    /// The writer of a stream; `None` where the operation has none. `include_usage`: its last chunk tells the usage.
    pub fn chunks(self, facts: Facts<'_>, include_usage: bool) -> Option<Chunks> {
        match self {
            Self::Chat => Some(Chunks::Chat(chat::stream::Chunks::new(facts, include_usage))),
            Self::Completion => Some(Chunks::Completion(completions::stream::Chunks::new(
                facts,
                include_usage,
            ))),
            Self::Embedding(_) => None,
        }
    }
}

/// Writes the chunks of one stream.
#[derive(Debug)]
pub enum Chunks {
    /// Of a chat completion.
    Chat(chat::stream::Chunks),
    /// Of a completion.
    Completion(completions::stream::Chunks),
}

impl Chunks {
    /// Appends the next pieces; nothing where they are told with the end.
    pub fn deltas(&mut self, out: &mut String, deltas: &[Delta]) {
        match self {
            Self::Chat(chunks) => chunks.deltas(out, deltas),
            Self::Completion(chunks) => chunks.deltas(out, deltas),
        }
    }

    /// Appends the end of a success.
    pub fn end(&mut self, out: &mut String, end: &Final) {
        match self {
            Self::Chat(chunks) => chunks.end(out, end),
            Self::Completion(chunks) => chunks.end(out, end),
        }
    }
}
