//! The request of a chat.

use serde::Deserialize;

use super::message::Message;
use super::tools::{self, Tool};
use crate::error::Invalid;
use crate::limits::Limits;
use crate::names::{self, Named};
use crate::raw::Object;
use crate::read::{typed, typed_of};
use crate::sampling::{Sampling, most};
use crate::tokens::{REPLY_PRIMER, estimate};
use crate::values::{AnyObject, WordOrObject};

/// A chat, as far as Relay knows it. What it does not know stays in the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// What it shares with other operations.
    pub sampling: Sampling,
    /// What is its own.
    pub fields: ChatFields,
}

/// The fields that only chats have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct ChatFields {
    #[serde(deserialize_with = "crate::members::list")]
    pub messages: Vec<Message>,
    #[serde(default, deserialize_with = "crate::members::some")]
    pub tools: Option<Vec<Tool>>,
    pub tool_choice: Option<WordOrObject>,
    pub parallel_tool_calls: Option<bool>,
    #[serde(default, deserialize_with = "crate::members::some")]
    pub functions: Option<Vec<Named>>,
    pub function_call: Option<WordOrObject>,
    #[serde(default, deserialize_with = "crate::members::one")]
    pub response_format: Option<ResponseFormat>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<u32>,
    pub reasoning_effort: Option<String>,
    pub verbosity: Option<String>,
    pub modalities: Option<Vec<String>>,
    pub audio: Option<AnyObject>,
    pub prediction: Option<AnyObject>,
    pub web_search_options: Option<AnyObject>,
}

/// In which form the answer is wanted. A schema stays in the body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResponseFormat {
    /// `text`, `json_object`, `json_schema`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The schema, where one is given.
    #[serde(default, deserialize_with = "crate::members::one")]
    pub json_schema: Option<Named>,
}

impl Chat {
    /// Reads a body, whose bounds are not looked at.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn read(body: &str) -> Result<Self, Invalid> {
        Ok(Self {
            sampling: Sampling::read(body)?,
            fields: typed(body)?,
        })
    }

    /// The same, of a body whose members are known.
    pub(crate) fn of(members: &Object<'_>, body: &str) -> Result<Self, Invalid> {
        Ok(Self {
            sampling: Sampling::of(members, body)?,
            fields: typed_of(members, body, |_| true)?,
        })
    }

    /// Holds it against its ranges and bounds.
    ///
    /// # Errors
    /// The first that does not keep to them.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        let fields = &self.fields;
        if fields.messages.is_empty() {
            return Err(Invalid::value(
                "messages",
                "`messages` is empty; at least one message is needed",
            ));
        }
        if fields.messages.len() > limits.messages {
            let message = format!(
                "`messages` may hold at most {}, got {}",
                limits.messages,
                fields.messages.len()
            );
            return Err(Invalid::value("messages", message));
        }
        for (index, message) in fields.messages.iter().enumerate() {
            message.check(index, limits)?;
        }
        self.sampling.check(limits)?;
        tools::check(fields.tools.as_deref().unwrap_or_default(), limits)?;
        tools::not_too_many("functions", fields.functions.as_ref().map_or(0, Vec::len), limits)?;
        for (index, function) in fields.functions.iter().flatten().enumerate() {
            names::check(&format!("functions[{index}]"), Some(function), limits)?;
        }
        for (path, choice) in [
            ("tool_choice", &fields.tool_choice),
            ("function_call", &fields.function_call),
        ] {
            if let Some(WordOrObject::Object(chosen)) = choice {
                chosen.check(path, limits)?;
            }
        }
        most(
            "top_logprobs",
            fields.top_logprobs.unwrap_or(0),
            limits.top_logprobs,
        )?;
        if fields.top_logprobs.is_some() && fields.logprobs != Some(true) {
            return Err(Invalid::value(
                "top_logprobs",
                "`top_logprobs` needs `logprobs: true`",
            ));
        }
        let format = fields.response_format.as_ref();
        let schema = format.and_then(|format| format.json_schema.as_ref());
        names::check("response_format.json_schema", schema, limits)?;
        if format.is_some_and(|format| format.kind == "json_schema" && format.json_schema.is_none()) {
            return Err(Invalid::missing(
                "response_format.json_schema",
                "a format of type `json_schema` needs one",
            ));
        }
        Ok(())
    }

    /// Estimated tokens of the prompt that `body` makes, the descriptions of tools included.
    pub fn prompt_tokens(&self, body: &Object<'_>) -> u32 {
        let messages = self.fields.messages.iter().map(Message::tokens);
        let tools = ["tools", "functions"]
            .into_iter()
            .filter_map(|name| body.get(name));
        let tools = tools.filter(|tools| *tools != "null").map(estimate);
        messages.chain(tools).fold(REPLY_PRIMER, u32::saturating_add)
    }
}
