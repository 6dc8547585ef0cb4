//! The door: a body of any operation is checked, bounded and hashed here. Pure.

use std::borrow::Cow;

use relay_schemas::Operation;
use serde_json::value::RawValue;

use crate::canonical;
use crate::chat::Chat;
use crate::completions::Completion;
use crate::embeddings::Embeddings;
use crate::error::Invalid;
use crate::json::{Fault, compact, kind};
use crate::limits::Limits;
use crate::raw::Object;
use crate::sampling::Sampling;

/// What a body means that leaves it out. Part of the hash, so that it stands for what is really asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    /// The model of a chat or a completion. (It embeds nothing, so embeddings always name theirs.)
    pub model: Option<String>,
    /// Most new tokens.
    pub max_tokens: Option<u32>,
    /// The temperature.
    pub temperature: Option<f64>,
}

/// A request that may come in.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What is asked for.
    pub operation: Operation,
    /// The body, byte for byte.
    pub body: String,
    /// The hash of what of it may change the answer; see [`canonical`].
    pub request_hash: String,
    /// The model asked for.
    pub model: String,
    /// Whether the answer leaves as server-sent events.
    pub stream: bool,
    /// Whether a stream ends with the usage.
    pub include_usage: bool,
    /// Estimated tokens of the prompt.
    pub prompt_tokens: u32,
    /// Most new tokens, if limited.
    pub requested_tokens: Option<u32>,
    /// Temperature, if set.
    pub temperature: Option<f64>,
}

/// Checks a body, which is kept as it is.
///
/// # Errors
/// What is wrong, where, and how to mend it. Nothing of the body's content is quoted.
pub fn parse(
    operation: Operation,
    body: Vec<u8>,
    defaults: &Defaults,
    limits: &Limits,
) -> Result<Parsed, Invalid> {
    let text = String::from_utf8(body)
        .map_err(|_| Invalid::body("the body is not valid UTF-8; send one JSON object in UTF-8"))?;
    let (compacted, members) = whole(&text, limits.depth)?;
    let members = match members {
        Some(members) => members,
        None => Object::parse(&compacted).map_err(|error| malformed(&error))?,
    };
    let (sampling, prompt_tokens) = match operation {
        Operation::Chat => {
            let chat = Chat::of(&members, &compacted)?;
            chat.check(limits)?;
            let tokens = chat.prompt_tokens(&members);
            (chat.sampling, tokens)
        }
        Operation::Completion => {
            let completion = Completion::read(&compacted)?;
            completion.check(limits)?;
            let tokens = completion.prompt_tokens();
            (completion.sampling, tokens)
        }
        Operation::Embedding => {
            let embeddings = Embeddings::read(&compacted)?;
            embeddings.check(limits)?;
            let sampling = Sampling {
                model: embeddings.model.clone(),
                ..Sampling::default()
            };
            (sampling, embeddings.prompt_tokens())
        }
    };
    let filled = Filled::of(operation, &sampling, defaults);
    let model = sampling.model.clone().or_else(|| filled.model.clone());
    let request_hash = canonical::hash(operation, &canonical::view(&members, &filled.members()));
    Ok(Parsed {
        operation,
        body: text,
        request_hash,
        model: model.ok_or_else(|| Invalid::missing("model", "name a model; see /v1/models"))?,
        stream: sampling.streams(),
        include_usage: sampling.includes_usage(),
        prompt_tokens,
        requested_tokens: filled.max_tokens.or_else(|| sampling.token_limit()),
        temperature: filled.temperature.or(sampling.temperature),
    })
}

/// The defaults that take effect.
struct Filled {
    model: Option<String>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
}

impl Filled {
    fn of(operation: Operation, sampling: &Sampling, defaults: &Defaults) -> Self {
        if operation == Operation::Embedding {
            return Self {
                model: None,
                max_tokens: None,
                temperature: None,
            };
        }
        Self {
            model: defaults.model.clone(),
            max_tokens: defaults.max_tokens.filter(|_| sampling.token_limit().is_none()),
            temperature: defaults.temperature.filter(|_| sampling.temperature.is_none()),
        }
    }

    /// As members that count where the body has none.
    fn members(&self) -> Vec<(&'static str, String)> {
        let model = self.model.as_ref().map(|model| {
            let mut text = String::new();
            crate::json::write_string(&mut text, model);
            ("model", text)
        });
        let max_tokens = self.max_tokens.map(|most| ("max_tokens", most.to_string()));
        let temperature = self.temperature.map(|value| ("temperature", value.to_string()));
        [model, max_tokens, temperature].into_iter().flatten().collect()
    }
}

/// The body without white space, if it is one object that all readers read alike; and its members, where nothing of it had to be
/// written anew.
fn whole(text: &str, depth: usize) -> Result<(Cow<'_, str>, Option<Object<'_>>), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::body("the body is empty; send one JSON object in UTF-8"));
    }
    let members = Object::parse(text).map_err(|error| no_object(text, depth, &error))?;
    let compacted = compact(text.trim_matches([' ', '\t', '\n', '\r']), depth);
    let compacted = compacted.map_err(|fault| faulty(fault, depth))?;
    let is_same = matches!(compacted, Cow::Borrowed(_));
    Ok((compacted, is_same.then_some(members)))
}

/// Why a text is none that is not read as an object, of which `error` is said.
fn no_object(text: &str, depth: usize, error: &serde_json::Error) -> Invalid {
    let raw: &RawValue = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => return malformed(&error),
    };
    if !raw.get().starts_with('{') {
        return Invalid {
            code: "invalid_type",
            param: None,
            message: format!("the body must be a JSON object, got {}", kind(raw.get())),
        };
    }
    compact(raw.get(), depth).map_or_else(|fault| faulty(fault, depth), |_| malformed(error))
}

fn faulty(fault: Fault, depth: usize) -> Invalid {
    match fault {
        Fault::Deep => Invalid::body(format!("the body is nested deeper than {depth} levels")),
        Fault::Twice(name) if is_plain(&name) => {
            Invalid::body(format!("`{name}` stands twice in one object"))
        }
        Fault::Twice(_) => Invalid::body("a member stands twice in one object"),
        Fault::NoText => {
            Invalid::body("a string of the body is not Unicode: half a surrogate pair is escaped in it")
        }
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The parser's own words quote no content, only what it expected and where.
fn malformed(error: &serde_json::Error) -> Invalid {
    Invalid::body(format!(
        "the body is not valid JSON: {error}; send one JSON object in UTF-8"
    ))
}
