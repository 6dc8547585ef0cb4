//! The conversation: its shape, and how long it probably is.

use relay_schemas::TokenCount;
use serde_json::{Map, Value};

use super::fields::{Fields, kind};
use crate::refusal::Refusal;

const ROLES: &str = "system, developer, user, assistant, tool or function";

/// Checks `messages` and estimates their length.
pub fn check(messages: &Value) -> Result<TokenCount, Refusal> {
    let Value::Array(list) = messages else {
        return Err(Refusal::wrong_type(
            "messages",
            "a list of messages",
            kind(messages),
        ));
    };
    if list.is_empty() {
        return Err(Refusal::invalid(
            "invalid_value",
            Some("messages"),
            "`messages` is empty; at least one message is needed",
        ));
    }
    let mut tokens = REPLY_PRIMER;
    for (index, message) in list.iter().enumerate() {
        tokens = tokens.saturating_add(one(index, message)?);
    }
    Ok(TokenCount(tokens))
}

/// What chat templates add before the answer, in tokens.
const REPLY_PRIMER: u32 = 3;
/// What chat templates add to each message, in tokens.
const PER_MESSAGE: u32 = 4;

/// Estimated tokens of a text: a token for every four ASCII bytes, rounded up, and one for every other character.
///
/// Byte-pair vocabularies need about four bytes a token for English and about one token a character for scripts that
/// they saw little of. It decides lanes and admission only; the worker's count replaces it.
pub fn estimate(text: &str) -> u32 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    u32::try_from(ascii.div_ceil(4) + others).unwrap_or(u32::MAX)
}

fn one(index: usize, message: &Value) -> Result<u32, Refusal> {
    let Value::Object(members) = message else {
        let path = format!("messages[{index}]");
        return Err(Refusal::wrong_type(
            &path,
            "an object with `role` and `content`",
            kind(message),
        ));
    };
    let fields = Fields::new(members);
    let role = role(index, &fields)?;
    let text = match fields.get("content") {
        None if may_lack_content(role, members) => 0,
        None => {
            return Err(Refusal::invalid(
                "missing_required_parameter",
                Some(&format!("messages[{index}].content")),
                format!("`messages[{index}].content` is missing; send a string (it may be empty)"),
            ));
        }
        Some(content) => content_tokens(&format!("messages[{index}].content"), content)?,
    };
    Ok(text.saturating_add(PER_MESSAGE))
}

fn role<'a>(index: usize, fields: &Fields<'a>) -> Result<&'a str, Refusal> {
    let path = format!("messages[{index}].role");
    let value = fields.get("role").ok_or_else(|| {
        Refusal::invalid(
            "missing_required_parameter",
            Some(&path),
            format!("`{path}` is missing; use {ROLES}"),
        )
    })?;
    match value.as_str() {
        Some(role @ ("system" | "developer" | "user" | "assistant" | "tool" | "function")) => Ok(role),
        Some(_) => Err(Refusal::invalid(
            "invalid_value",
            Some(&path),
            format!("`{path}` is no role; use {ROLES}"),
        )),
        None => Err(Refusal::wrong_type(&path, "a string", kind(value))),
    }
}

/// An assistant turn that called tools has nothing to say.
fn may_lack_content(role: &str, members: &Map<String, Value>) -> bool {
    let called = |name: &str| members.get(name).is_some_and(|calls| !calls.is_null());
    role == "assistant" && (called("tool_calls") || called("function_call") || called("refusal"))
}

fn content_tokens(path: &str, content: &Value) -> Result<u32, Refusal> {
    match content {
        Value::String(text) => Ok(estimate(text)),
        Value::Array(parts) => {
            let mut tokens = 0_u32;
            for (index, part) in parts.iter().enumerate() {
                tokens = tokens.saturating_add(part_tokens(&format!("{path}[{index}]"), part)?);
            }
            Ok(tokens)
        }
        other => Err(Refusal::wrong_type(
            path,
            "a string or a list of content parts",
            kind(other),
        )),
    }
}

fn part_tokens(path: &str, part: &Value) -> Result<u32, Refusal> {
    let Value::Object(members) = part else {
        return Err(Refusal::wrong_type(path, "an object with `type`", kind(part)));
    };
    match members.get("type") {
        Some(Value::String(name)) if name == "text" => match members.get("text") {
            Some(Value::String(text)) => Ok(estimate(text)),
            other => Err(Refusal::wrong_type(
                &format!("{path}.text"),
                "a string",
                other.map_or("nothing", kind),
            )),
        },
        // Images, audio and files travel on to models that know them; their length is not guessed.
        Some(Value::String(_)) => Ok(0),
        other => Err(Refusal::wrong_type(
            &format!("{path}.type"),
            "a string such as `text`",
            other.map_or("nothing", kind),
        )),
    }
}
