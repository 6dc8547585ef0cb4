//! The messages of a conversation.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::tools::CalledFunction;
use crate::error::Invalid;
use crate::limits::Limits;
use crate::names::{self, Named, length};
use crate::tokens::{PER_MESSAGE, estimate};
use crate::values::AnyObject;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the API's own names")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
    Function,
}

impl Role {
    /// As the API spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct Message {
    pub role: Role,
    pub content: Option<Content>,
    pub name: Option<String>,
    pub refusal: Option<String>,
    pub reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "crate::members::some")]
    pub tool_calls: Option<Vec<ToolCall>>,
    pub tool_call_id: Option<String>,
    #[serde(default, deserialize_with = "crate::members::one")]
    pub function_call: Option<Named>,
    pub audio: Option<AnyObject>,
}

/// What is said: one text, or parts of several kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One text.
    Text(String),
    /// Parts.
    Parts(Vec<Part>),
}

/// A part of what is said. What it holds beside a text stays in the body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Part {
    /// `text`, `image_url`, `input_audio`, `file`, `refusal`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a part that is one.
    pub text: Option<String>,
}

/// A call that the assistant made in an earlier turn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ToolCall {
    /// Its name.
    pub id: Option<String>,
    /// `function`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What was called, where it was a function.
    #[serde(default, deserialize_with = "crate::members::one")]
    pub function: Option<CalledFunction>,
}

impl Message {
    /// The texts of it, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, parts) = match &self.content {
            None => (None, &[][..]),
            Some(Content::Text(text)) => (Some(text.as_str()), &[][..]),
            Some(Content::Parts(parts)) => (None, &parts[..]),
        };
        let texts = parts.iter().filter(|part| part.kind == "text");
        one.into_iter()
            .chain(texts.filter_map(|part| part.text.as_deref()))
    }

    /// Whether it has parts of the kind `kind`.
    pub fn has_part(&self, kind: &str) -> bool {
        matches!(&self.content, Some(Content::Parts(parts)) if parts.iter().any(|part| part.kind == kind))
    }

    /// Estimated tokens of it.
    pub fn tokens(&self) -> u32 {
        let calls = self.tool_calls.iter().flatten();
        let calls = calls.filter_map(|call| call.function.as_ref());
        let calls = calls.flat_map(|function| [function.name.as_str(), function.arguments.as_str()]);
        let texts = self.texts().chain(self.reasoning_content.as_deref()).chain(calls);
        texts.fold(PER_MESSAGE, |sum, text| sum.saturating_add(estimate(text)))
    }

    /// # Errors
    /// What is missing, or too long.
    pub(super) fn check(&self, index: usize, limits: &Limits) -> Result<(), Invalid> {
        let path = |field: &str| format!("messages[{index}].{field}");
        if self.content.is_none() && !self.may_lack_content() {
            return Err(Invalid::missing(
                &path("content"),
                "send a string (it may be empty)",
            ));
        }
        if let Some(Content::Parts(parts)) = &self.content {
            for (number, part) in parts.iter().enumerate() {
                if part.kind == "text" && part.text.is_none() {
                    let path = format!("{}[{number}].text", path("content"));
                    return Err(Invalid::kind(&path, "a string", "nothing"));
                }
            }
        }
        names::check(&path("function_call"), self.function_call.as_ref(), limits)?;
        length(&path("name"), self.name.as_deref(), limits.name_length)?;
        length(
            &path("tool_call_id"),
            self.tool_call_id.as_deref(),
            limits.name_length,
        )?;
        for (number, call) in self.tool_calls.iter().flatten().enumerate() {
            let path = path(&format!("tool_calls[{number}]"));
            length(&format!("{path}.id"), call.id.as_deref(), limits.name_length)?;
            let name = call.function.as_ref().map(|function| function.name.as_str());
            length(&format!("{path}.function.name"), name, limits.name_length)?;
        }
        Ok(())
    }

    /// An assistant turn that called tools, refused or spoke has nothing to write.
    fn may_lack_content(&self) -> bool {
        let called = self.tool_calls.is_some() || self.function_call.is_some();
        self.role == Role::Assistant && (called || self.refusal.is_some() || self.audio.is_some())
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ContentReader)
    }
}

/// A part, read from an object only.
#[derive(Deserialize)]
#[serde(transparent)]
struct Object(#[serde(deserialize_with = "crate::members::required")] Part);

struct ContentReader;

impl<'de> Visitor<'de> for ContentReader {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(Object(part)) = items.next_element()? {
            parts.push(part);
        }
        Ok(Content::Parts(parts))
    }
}
