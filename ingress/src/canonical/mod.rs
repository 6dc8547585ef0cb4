//! One request, whatever it looked like on the wire: parsed once, checked, canonical, hashed. Pure.
//!
//! The canonical form is the whole body as RFC 8785 JSON with what does not change the answer removed: transport fields
//! ([`TRANSPORT`]), known fields that are null, and `n: 1`. `max_completion_tokens` becomes `max_tokens`, and a single
//! `stop` string becomes a list. Unknown fields are carried through as they are, for remote models that know them.

mod fields;
mod json;
mod messages;

use relay_schemas::TokenCount;
use serde_json::{Map, Value};

use crate::ids::sha256_hex;
use crate::refusal::Refusal;
use fields::Fields;
pub use json::{canonical_json, write_string};

/// Fields that say how the answer travels or who asked, not what it is: no part of the hash.
pub const TRANSPORT: [&str; 5] = ["stream", "stream_options", "user", "metadata", "store"];

/// Known fields whose null means "not set".
const NULLABLE: [&str; 14] = [
    "temperature",
    "top_p",
    "n",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "seed",
    "tools",
    "tool_choice",
];

/// Most stop strings, as `OpenAI` has it.
const MOST_STOPS: usize = 4;

/// A checked chat completion request.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// The model asked for.
    pub model: String,
    /// The whole request in canonical form.
    pub canonical: String,
    /// SHA-256 of it, hexadecimal.
    pub request_hash: String,
    /// Whether the answer leaves as server-sent events.
    pub stream: bool,
    /// Whether the stream ends with a usage chunk.
    pub include_usage: bool,
    /// Estimated prompt length, see [`messages::estimate`].
    pub prompt_tokens: TokenCount,
    /// Most new tokens, if limited.
    pub requested_tokens: Option<TokenCount>,
    /// Temperature, if set.
    pub temperature: Option<f64>,
}

/// What a body means that leaves it out. Part of the canonical form, so that the hash stands for what is really asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    /// The model.
    pub model: Option<String>,
    /// Most new tokens.
    pub max_tokens: Option<u32>,
    /// The temperature.
    pub temperature: Option<f64>,
}

impl Defaults {
    fn fill(&self, root: &mut Map<String, Value>) {
        let unlimited = root.get("max_completion_tokens").is_none_or(Value::is_null);
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value.filter(|_| root.get(name).is_none_or(Value::is_null)) {
                root.insert(name.to_owned(), value);
            }
        };
        set("model", self.model.clone().map(Value::from));
        set("temperature", self.temperature.map(Value::from));
        if unlimited {
            set("max_tokens", self.max_tokens.map(Value::from));
        }
    }
}

/// Parses and checks the body of `POST /v1/chat/completions`.
///
/// # Errors
/// A [`Refusal`] that says what is wrong, where, and how to mend it, and holds nothing of the body's content.
pub fn chat(body: &[u8], defaults: &Defaults) -> Result<Chat, Refusal> {
    let mut root = match serde_json::from_slice(body) {
        Ok(Value::Object(root)) => root,
        Ok(other) => {
            return Err(Refusal::invalid(
                "invalid_type",
                None,
                format!(
                    "the body must be a JSON object with `model` and `messages`, got {}",
                    fields::kind(&other)
                ),
            ));
        }
        Err(error) => return Err(malformed(body, &error)),
    };
    defaults.fill(&mut root);
    let fields = Fields::new(&root);
    let model = fields.required_text("model")?.to_owned();
    let prompt_tokens = messages::check(fields.required("messages")?)?;
    let temperature = fields.number("temperature", 0.0, 2.0)?;
    fields.number("top_p", 0.0, 1.0)?;
    fields.number("presence_penalty", -2.0, 2.0)?;
    fields.number("frequency_penalty", -2.0, 2.0)?;
    fields.seed("seed")?;
    fields.object("logit_bias")?;
    fields.object("metadata")?;
    fields.text("user")?;
    fields.flag("store")?;
    fields.flag("logprobs")?;
    fields.list("tools")?;
    let requested_tokens = one_limit(&fields)?;
    one_choice(&fields)?;
    let stop = stops(&fields)?;
    let stream = fields.flag("stream")?.unwrap_or(false);
    let include_usage = include_usage(&fields, stream)?;
    simplify(&mut root, requested_tokens, stop);
    let canonical = canonical_json(&Value::Object(root));
    Ok(Chat {
        model,
        request_hash: sha256_hex(&[canonical.as_bytes()]),
        canonical,
        stream,
        include_usage,
        prompt_tokens,
        requested_tokens,
        temperature,
    })
}

fn malformed(body: &[u8], error: &serde_json::Error) -> Refusal {
    let what = if body.iter().all(u8::is_ascii_whitespace) {
        "the body is empty".to_owned()
    } else {
        // The parser's own words quote no content, only what it expected and where.
        format!("the body is not valid JSON: {error}")
    };
    Refusal::invalid(
        "invalid_json",
        None,
        format!("{what}; send one JSON object in UTF-8"),
    )
}

fn one_limit(fields: &Fields<'_>) -> Result<Option<TokenCount>, Refusal> {
    let old = fields.count("max_tokens")?;
    let new = fields.count("max_completion_tokens")?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => Err(Refusal::invalid(
            "invalid_value",
            Some("max_completion_tokens"),
            "`max_tokens` and `max_completion_tokens` mean the same and differ; send one of them",
        )),
        (old, new) => Ok(new.or(old).map(TokenCount)),
    }
}

fn one_choice(fields: &Fields<'_>) -> Result<(), Refusal> {
    match fields.count("n")? {
        None | Some(1) => Ok(()),
        Some(_) => Err(Refusal::invalid(
            "unsupported_value",
            Some("n"),
            "`n` must be 1: several choices in one request are not supported yet; send several requests",
        )),
    }
}

fn stops(fields: &Fields<'_>) -> Result<Option<Value>, Refusal> {
    let wrong = |path: &str, value: &Value| {
        Refusal::wrong_type(
            path,
            "a non-empty string or a list of up to 4 of them",
            fields::kind(value),
        )
    };
    let stops = match fields.get("stop") {
        None => return Ok(None),
        Some(Value::Array(stops)) => stops.clone(),
        Some(one) => vec![one.clone()],
    };
    if stops.len() > MOST_STOPS {
        return Err(Refusal::invalid(
            "invalid_value",
            Some("stop"),
            format!(
                "`stop` may hold at most {MOST_STOPS} strings, got {}",
                stops.len()
            ),
        ));
    }
    let listed = matches!(fields.get("stop"), Some(Value::Array(_)));
    for (index, stop) in stops.iter().enumerate() {
        if stop.as_str().is_none_or(str::is_empty) {
            let path = if listed {
                format!("stop[{index}]")
            } else {
                "stop".to_owned()
            };
            return Err(wrong(&path, stop));
        }
    }
    Ok((!stops.is_empty()).then_some(Value::Array(stops)))
}

fn include_usage(fields: &Fields<'_>, stream: bool) -> Result<bool, Refusal> {
    let Some(options) = fields.object("stream_options")? else {
        return Ok(false);
    };
    if !stream {
        return Err(Refusal::invalid(
            "invalid_value",
            Some("stream_options"),
            "`stream_options` needs `stream: true`; leave it out or set `stream`",
        ));
    }
    match options.get("include_usage") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(wanted)) => Ok(*wanted),
        Some(other) => Err(Refusal::wrong_type(
            "stream_options.include_usage",
            "true or false",
            fields::kind(other),
        )),
    }
}

/// Takes out what does not change the answer, and spells the rest in one way.
fn simplify(root: &mut Map<String, Value>, requested_tokens: Option<TokenCount>, stop: Option<Value>) {
    root.retain(|name, value| {
        let transport = TRANSPORT.contains(&name.as_str());
        let unset = value.is_null() && NULLABLE.contains(&name.as_str());
        let respelled = ["n", "stop", "max_tokens", "max_completion_tokens"].contains(&name.as_str());
        !transport && !unset && !respelled
    });
    if let Some(TokenCount(limit)) = requested_tokens {
        root.insert("max_tokens".to_owned(), Value::from(limit));
    }
    if let Some(stop) = stop {
        root.insert("stop".to_owned(), stop);
    }
}

#[cfg(test)]
mod tests;
