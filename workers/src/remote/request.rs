//! What an endpoint is asked: what the client sent, changed only where the plan says so. Pure.

use std::time::Duration;

use bytes::Bytes;
use relay_api::raw::Object;
use relay_api::values::Count;
use relay_schemas::{Decoding, Operation, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::models::{LimitField, OmittedField, RemoteSpec};

/// Where `operation` is served, behind the base URL.
pub const fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat/completions",
        Operation::Completion => "completions",
        Operation::Embedding => "embeddings",
    }
}

/// What an endpoint is asked.
#[derive(Debug)]
pub struct Question {
    /// The body.
    pub body: Bytes,
    /// Whether it asks for a text in one piece, of which nothing comes before it is complete.
    pub whole: bool,
    /// How many choices, or vectors, it asks for: those of a completion for each prompt.
    pub choices: u32,
    /// What the client or the plan would have set, and this endpoint is never sent.
    pub omitted: Vec<&'static str>,
}

/// The body for an endpoint. A text is asked for as a stream, with its usage, where somebody wants it as it comes: the client, or the
/// operator (`progress`); and where `left` until its deadline is more than `answer_timeout`, as silence of that length is no sign of
/// work. Else it is asked for in one piece. What says the same as the plan stays as the client wrote it, as does everything that the plan does not speak of, but for what is left out.
///
/// # Errors
/// If the body is no JSON object, or a number cannot be written.
pub fn question(
    request: &Request,
    spec: &RemoteSpec,
    decoding: &Decoding,
    left: Duration,
) -> Result<Question, serde_json::Error> {
    let mut body = Object::parse(&request.body)?;
    let mut omitted = Vec::new();
    let choices = choices(request.operation, &body);
    let is_text = request.operation != Operation::Embedding;
    let wanted_as_it_comes = request.stream || spec.progress || left > spec.answer_timeout;
    let streamed = is_text && wanted_as_it_comes && !knows_the_best_at_the_end(request.operation, &body);
    body.put("model", &spec.upstream_model)?;
    if is_text {
        let field = limit_field(&body, request.operation, spec.limit_field);
        if limit(&mut body, field, decoding)? {
            omitted.push("max_tokens");
        }
        decode(&mut body, decoding)?;
    }
    for OmittedField(name) in &spec.omit {
        // Without it the endpoint would keep what its client forbids to keep.
        if *name == STORE && body.get(STORE) == Some("false") {
            continue;
        }
        let is_said = body.remove(name).is_some_and(|said| said.get() != "null");
        // How the answer travels is Relay's own affair, and what a client asks of its stream it gets.
        if is_said && *name != STREAM_OPTIONS && !omitted.contains(name) {
            omitted.push(*name);
        }
    }
    if streamed {
        stream(&mut body, !spec.omit.contains(&OmittedField(STREAM_OPTIONS)))?;
    } else if is_text {
        body.remove(STREAM_OPTIONS);
        // The line of a batch may say anything.
        if body.get(STREAM).is_some_and(|said| said != "false") {
            body.put(STREAM, &false)?;
        }
    }
    Ok(Question {
        body: body.to_json().into(),
        whole: is_text && !streamed,
        choices,
        omitted,
    })
}

fn choices(operation: Operation, body: &Object<'_>) -> u32 {
    let inputs = match operation {
        Operation::Chat => 1,
        Operation::Completion => inputs(body.get("prompt")),
        Operation::Embedding => return inputs(body.get("input")),
    };
    count(body, "n").unwrap_or(1).saturating_mul(inputs)
}

/// How many texts, or lists of tokens, there are: one that is no list is one, as is a list of tokens.
fn inputs(raw: Option<&str>) -> u32 {
    let list: Option<Vec<&RawValue>> = raw.and_then(|raw| serde_json::from_str(raw).ok());
    let is_token = |item: &&RawValue| item.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match list {
        Some(list) if !list.first().is_some_and(is_token) => u32::try_from(list.len()).unwrap_or(u32::MAX),
        Some(_) | None => 1,
    }
}

fn count(body: &Object<'_>, name: &str) -> Option<u32> {
    let count: Count = serde_json::from_str(body.get(name)?).ok()?;
    Some(count.0)
}

/// Whether more is tried than is given: endpoints refuse to stream that.
fn knows_the_best_at_the_end(operation: Operation, body: &Object<'_>) -> bool {
    let n = count(body, "n").unwrap_or(1);
    operation == Operation::Completion && count(body, "best_of").is_some_and(|best_of| best_of > n)
}

/// What a limit of tokens is called by the API itself.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

const STREAM: &str = "stream";

const STREAM_OPTIONS: &str = "stream_options";

const STORE: &str = "store";

/// As the models file says; else the newer name where a chat's client used it: models that know only one of the two know that one.
fn limit_field(body: &Object<'_>, operation: Operation, told: Option<LimitField>) -> Option<&'static str> {
    let newer = || body.get(LIMITS[1]).is_some_and(|limit| limit != "null");
    let told = told.unwrap_or_else(|| {
        if newer() {
            LimitField::MaxCompletionTokens
        } else {
            LimitField::MaxTokens
        }
    });
    // A text completion has no newer name.
    let is_chats = told == LimitField::MaxCompletionTokens && operation != Operation::Chat;
    if is_chats { Some(LIMITS[0]) } else { told.name() }
}

/// Sets the limit of tokens under `field` alone, if the plan has one; whether it has one and there is no field for it.
fn limit(
    body: &mut Object<'_>,
    field: Option<&'static str>,
    decoding: &Decoding,
) -> Result<bool, serde_json::Error> {
    for name in LIMITS {
        if Some(name) != field || decoding.max_tokens_unset {
            body.remove(name);
        }
    }
    match field {
        _ if decoding.max_tokens_unset => Ok(false),
        Some(field) => set(body, field, &u64::from(decoding.max_tokens.0)).map(|()| false),
        None => Ok(true),
    }
}

fn decode(body: &mut Object<'_>, decoding: &Decoding) -> Result<(), serde_json::Error> {
    if decoding.temperature_unset {
        // It may be there as null, which not every endpoint takes for unset.
        body.remove("temperature");
    } else {
        set(body, "temperature", &decoding.temperature)?;
    }
    if let Some(top_p) = decoding.top_p {
        set(body, "top_p", &top_p)?;
    }
    if let Some(top_k) = decoding.top_k {
        set(body, "top_k", &top_k)?;
    }
    if let Some(seed) = decoding.seed {
        set(body, "seed", &seed)?;
    }
    let stop = body.get("stop").and_then(|stop| serde_json::from_str(stop).ok());
    let one_stop = stop.is_some_and(|stop: String| decoding.stop == [stop]);
    if !decoding.stop.is_empty() && !one_stop {
        set(body, "stop", &decoding.stop)?;
    }
    Ok(())
}

fn stream(body: &mut Object<'_>, with_options: bool) -> Result<(), serde_json::Error> {
    body.put(STREAM, &true)?;
    if !with_options {
        return Ok(());
    }
    let options = body.get(STREAM_OPTIONS).unwrap_or("{}").to_owned();
    let mut options = Object::parse(&options).unwrap_or_default();
    options.put("include_usage", &true)?;
    body.put(STREAM_OPTIONS, &options)
}

/// Sets a member, unless it says the same already.
fn set<T: Serialize + DeserializeOwned + PartialEq>(
    body: &mut Object<'_>,
    name: &'static str,
    value: &T,
) -> Result<(), serde_json::Error> {
    let said = body
        .get(name)
        .and_then(|said| serde_json::from_str::<T>(said).ok());
    if said.as_ref() == Some(value) {
        return Ok(());
    }
    body.put(name, value)
}

#[cfg(test)]
mod tests;
