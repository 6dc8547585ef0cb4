//! What chats and completions share: how tokens are chosen, how the answer travels, and who asks.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::Invalid;
use crate::limits::Limits;
use crate::names::{BREAKS, length, printable};
use crate::raw::Object;
use crate::read::{typed, typed_of};
use crate::values::{Count, Seed, Texts, TopK};

/// The fields that every text operation has. Null means "not set", as `OpenAI`'s own clients send it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct Sampling {
    pub model: Option<String>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<TopK>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub max_tokens: Option<Count>,
    pub max_completion_tokens: Option<Count>,
    pub n: Option<Count>,
    pub seed: Option<Seed>,
    pub stop: Option<Texts>,
    pub logit_bias: Option<BTreeMap<String, f64>>,
    pub stream: Option<bool>,
    #[serde(default, deserialize_with = "crate::members::one")]
    pub stream_options: Option<StreamOptions>,
    pub user: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub store: Option<bool>,
    pub service_tier: Option<String>,
}

/// Whether what `body` says, and what is answered to it, may be kept longer than that takes: unless its `store` is `false`. Nothing
/// else of the body has to be right for that.
pub fn keeps_content(body: &str) -> bool {
    // Nearly no body has the word anywhere, nor a letter that is escaped by its number: those need not be read for it.
    if !body.contains("\"store\"") && !body.contains("\\u") {
        return true;
    }
    let body = Object::parse(body).unwrap_or_default();
    body.get("store") != Some("false")
}

/// How a stream is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether a chunk with the usage comes before `[DONE]`.
    pub include_usage: Option<bool>,
}

impl Sampling {
    /// Reads the fields.
    ///
    /// # Errors
    /// What is of the wrong type.
    pub fn read(body: &str) -> Result<Self, Invalid> {
        typed(body)
    }

    /// The same, of a chat whose members are known: of its largest ones nothing is read here.
    pub(crate) fn of(members: &Object<'_>, body: &str) -> Result<Self, Invalid> {
        let is_wanted = |name: &str| !["messages", "tools", "functions"].contains(&name);
        typed_of(members, body, is_wanted)
    }

    /// Whether the answer leaves as server-sent events.
    pub fn streams(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether a stream ends with the usage.
    pub fn includes_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|options| options.include_usage) == Some(true)
    }

    /// The client's limit on new tokens.
    pub fn token_limit(&self) -> Option<u32> {
        self.max_completion_tokens
            .or(self.max_tokens)
            .map(|count| count.0)
    }

    /// The stop strings.
    pub fn stops(&self) -> &[String] {
        self.stop.as_ref().map_or(&[], |stop| &stop.texts)
    }

    /// Holds the fields against their ranges and bounds.
    ///
    /// # Errors
    /// The first that does not keep to them.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        model(self.model.as_deref(), limits)?;
        range("temperature", self.temperature, 0.0, 2.0)?;
        range("top_p", self.top_p, 0.0, 1.0)?;
        range("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        self.one_limit()?;
        most("n", self.n.map_or(1, |n| n.0), limits.choices)?;
        self.stops_fit(limits)?;
        self.metadata_fits(limits)?;
        user(self.user.as_deref(), limits)?;
        for bias in self.logit_bias.iter().flat_map(BTreeMap::values) {
            range("logit_bias", Some(*bias), -100.0, 100.0)?;
        }
        if self.stream_options.is_some() && !self.streams() {
            return Err(Invalid::value(
                "stream_options",
                "`stream_options` needs `stream: true`; leave it out or set `stream`",
            ));
        }
        Ok(())
    }

    fn one_limit(&self) -> Result<(), Invalid> {
        match (self.max_tokens, self.max_completion_tokens) {
            (Some(old), Some(new)) if old != new => Err(Invalid::value(
                "max_completion_tokens",
                "`max_tokens` and `max_completion_tokens` mean the same and differ; send one of them",
            )),
            _ => Ok(()),
        }
    }

    fn stops_fit(&self, limits: &Limits) -> Result<(), Invalid> {
        let Some(stop) = &self.stop else { return Ok(()) };
        if stop.texts.len() > limits.stops {
            let message = format!(
                "`stop` may hold at most {} strings, got {}",
                limits.stops,
                stop.texts.len()
            );
            return Err(Invalid::value("stop", message));
        }
        for (index, text) in stop.texts.iter().enumerate() {
            let path = if stop.listed {
                format!("stop[{index}]")
            } else {
                "stop".to_owned()
            };
            if text.is_empty() {
                return Err(Invalid::kind(&path, "a non-empty string", "an empty string"));
            }
            length(&path, Some(text), limits.stop_length)?;
        }
        Ok(())
    }

    fn metadata_fits(&self, limits: &Limits) -> Result<(), Invalid> {
        let Some(metadata) = &self.metadata else {
            return Ok(());
        };
        if metadata.len() > limits.metadata_keys {
            let message = format!("`metadata` may hold at most {} keys", limits.metadata_keys);
            return Err(Invalid::value("metadata", message));
        }
        for (key, value) in metadata {
            printable("metadata", Some(key), &[])?;
            printable("metadata", Some(value), &BREAKS)?;
            let named = shortened(key);
            let (of_key, of_value) = (limits.metadata_key_length, limits.metadata_value_length);
            bounded(&format!("a key of `metadata`, `{named}`,"), key, of_key)?;
            bounded(&format!("the value of `{named}` in `metadata`"), value, of_value)?;
        }
        Ok(())
    }
}

/// Holds the client's own user against its bounds.
///
/// # Errors
/// If it is too long, or holds control characters.
pub(crate) fn user(user: Option<&str>, limits: &Limits) -> Result<(), Invalid> {
    length("user", user, limits.name_length)?;
    printable("user", user, &[])
}

/// Holds the length of a part of the metadata against its bound.
fn bounded(what: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() <= most {
        return Ok(());
    }
    let message = format!("{what} may be at most {most} bytes long, got {}", text.len());
    Err(Invalid::value("metadata", message))
}

/// A client's own word, so far as a message shows it.
fn shortened(word: &str) -> String {
    const SHOWN: usize = 32;
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}

/// Holds a model's name against its bounds.
///
/// # Errors
/// If it is empty or too long.
pub fn model(name: Option<&str>, limits: &Limits) -> Result<(), Invalid> {
    if name == Some("") {
        return Err(Invalid::kind("model", "a non-empty string", "an empty string"));
    }
    length("model", name, limits.model_length)
}

/// # Errors
/// If the number lies outside.
pub(crate) fn range(path: &str, number: Option<f64>, least: f64, most: f64) -> Result<(), Invalid> {
    match number {
        Some(number) if !(least..=most).contains(&number) => Err(Invalid::value(
            path,
            format!("`{path}` must lie between {least} and {most}"),
        )),
        _ => Ok(()),
    }
}

/// # Errors
/// If there are more.
pub(crate) fn most(path: &str, number: u32, most: u32) -> Result<(), Invalid> {
    if number > most {
        return Err(Invalid::value(path, format!("`{path}` may be at most {most}")));
    }
    Ok(())
}
