//! What is sent to an endpoint, and what its chunks mean. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use relay_schemas::{Decoding, Usage};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::backend::usage;

/// The body for an endpoint: the canonical request with the endpoint's name of the model, decoded as the plan says, and
/// streamed. What Relay does not know goes through as it came.
///
/// # Errors
/// If the canonical request is no JSON object, or a number cannot be written.
pub fn request(
    canonical: &str,
    upstream_model: &str,
    decoding: &Decoding,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut fields: BTreeMap<String, Cow<'_, RawValue>> =
        serde_json::from_str::<BTreeMap<String, &RawValue>>(canonical)?
            .into_iter()
            .map(|(name, value)| (name, Cow::Borrowed(value)))
            .collect();
    // The newer name where the client used it: models that know only one of the two know that one.
    let limit = if fields.contains_key("max_completion_tokens") {
        "max_completion_tokens"
    } else {
        "max_tokens"
    };
    fields.remove("max_tokens");
    let mut set = |name: &str, value: &dyn erased::Json| -> Result<(), serde_json::Error> {
        fields.insert(name.to_owned(), Cow::Owned(value.raw()?));
        Ok(())
    };
    set("model", &upstream_model)?;
    set(limit, &decoding.max_tokens.0)?;
    set("temperature", &decoding.temperature)?;
    set("stream", &true)?;
    set("stream_options", &BTreeMap::from([("include_usage", true)]))?;
    if let Some(top_p) = decoding.top_p {
        set("top_p", &top_p)?;
    }
    if let Some(top_k) = decoding.top_k {
        set("top_k", &top_k)?;
    }
    if let Some(seed) = decoding.seed {
        set("seed", &seed)?;
    }
    if !decoding.stop.is_empty() {
        set("stop", &decoding.stop)?;
    }
    serde_json::to_vec(&fields)
}

/// Values of several types in one list.
mod erased {
    use super::{RawValue, Serialize, to_raw_value};

    pub trait Json {
        fn raw(&self) -> Result<Box<RawValue>, serde_json::Error>;
    }

    impl<T: Serialize> Json for T {
        fn raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
            to_raw_value(self)
        }
    }
}

/// The parts of a chunk that matter here.
#[derive(Debug, Deserialize)]
pub struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    usage: Option<RawUsage>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Delta<'a>,
    #[serde(borrow)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(default)]
    index: u32,
}

#[derive(Debug, Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct RawUsage {
    prompt_tokens: u32,
    completion_tokens: u32,
}

/// What an endpoint's error says, without its message: that may quote the prompt.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UpstreamError {
    code: Option<serde_json::Value>,
    r#type: Option<String>,
    param: Option<String>,
    message: Option<String>,
}

impl UpstreamError {
    /// Out of an error body, `{"error": {…}}` or the object itself; empty where it is neither.
    pub fn parse(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Wrapped {
            error: UpstreamError,
        }
        serde_json::from_slice::<Wrapped>(body)
            .map(|wrapped| wrapped.error)
            .or_else(|_| serde_json::from_slice(body))
            .unwrap_or_default()
    }

    /// Whether it says that the prompt does not fit.
    pub fn is_context_length(&self) -> bool {
        let says = |text: &str| text.contains("context_length") || text.contains("maximum context");
        let code = self.code.as_ref().and_then(serde_json::Value::as_str);
        code.is_some_and(says)
            || self.r#type.as_deref().is_some_and(says)
            || self
                .message
                .as_deref()
                .is_some_and(|message| says(message) || message.contains("context length"))
    }

    /// Its words for machines, as far as they look like such.
    pub fn words(&self) -> String {
        let code = self.code.as_ref().and_then(serde_json::Value::as_str);
        let named = [
            ("code", code),
            ("type", self.r#type.as_deref()),
            ("param", self.param.as_deref()),
        ];
        let word = |text: &&str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
            !text.is_empty() && text.len() <= 64 && text.chars().all(plain)
        };
        let words = named
            .iter()
            .filter_map(|(name, text)| text.filter(word).map(|text| format!(", {name} {text}")));
        words.collect()
    }
}

/// What is known of an answer while its events come in.
#[derive(Debug, Default)]
pub struct Answer {
    /// Text that came since it was last taken.
    pub text: String,
    /// Pieces of text since then; one is a token, as far as anybody can tell from here.
    pub pieces: u32,
    /// Why it ended.
    pub finish_reason: Option<String>,
    /// What the endpoint counted.
    pub usage: Option<Usage>,
    /// What the endpoint calls what it ran.
    pub model: Option<String>,
    /// `[DONE]` has come.
    pub done: bool,
    /// What went wrong.
    pub error: Option<Wrong>,
}

/// Why an event stream is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An event that is no chunk.
    NoChunk,
    /// The endpoint says that it failed.
    Said(UpstreamError),
}

impl Answer {
    /// Takes the data of one event.
    pub fn take(&mut self, data: &str) {
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            self.error.get_or_insert(Wrong::NoChunk);
            return;
        };
        if let Some(error) = chunk.error.filter(|error| error.get() != "null") {
            self.error
                .get_or_insert(Wrong::Said(UpstreamError::parse(error.get().as_bytes())));
            return;
        }
        if let Some(counted) = chunk.usage {
            self.usage = Some(usage(counted.prompt_tokens, counted.completion_tokens));
        }
        if let (None, Some(model)) = (&self.model, chunk.model) {
            self.model = Some(model.chars().take(200).collect());
        }
        let Some(choice) = chunk.choices.into_iter().find(|choice| choice.index == 0) else {
            return;
        };
        if let Some(content) = choice.delta.content.filter(|content| !content.is_empty()) {
            self.text.push_str(&content);
            self.pieces += 1;
        }
        if let Some(reason) = choice.finish_reason {
            self.finish_reason = Some(reason.chars().take(64).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use relay_schemas::TokenCount;
    use serde_json::{Value, json};

    use super::*;

    fn decoding() -> Decoding {
        Decoding {
            profile: "p".to_owned(),
            max_tokens: TokenCount(7),
            temperature: 0.5,
            top_p: None,
            top_k: None,
            seed: None,
            stop: Vec::new(),
        }
    }

    #[test]
    fn the_plan_decides_and_unknown_fields_go_through() {
        let canonical = r#"{"max_tokens":99,"messages":[{"content":"\u00e9","role":"user"}],"model":"ours","temperature":2,"thinking":{"budget":1.0}}"#;
        let body: Value =
            serde_json::from_slice(&request(canonical, "theirs", &decoding()).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({"max_tokens": 7, "messages": [{"content": "é", "role": "user"}], "model": "theirs", "temperature": 0.5,
                   "thinking": {"budget": 1.0}, "stream": true, "stream_options": {"include_usage": true}})
        );
        let all = Decoding {
            top_p: Some(0.9),
            top_k: Some(5),
            seed: Some(-1),
            stop: vec!["x".to_owned()],
            ..decoding()
        };
        let canonical = r#"{"max_completion_tokens":99,"max_tokens":98}"#;
        let body: Value = serde_json::from_slice(&request(canonical, "m", &all).unwrap()).unwrap();
        assert_eq!(body["max_completion_tokens"], 7);
        assert_eq!(body.get("max_tokens"), None);
        assert_eq!(
            (&body["top_p"], &body["top_k"], &body["seed"]),
            (&json!(0.9), &json!(5), &json!(-1))
        );
        assert_eq!(body["stop"], json!(["x"]));
        assert!(request("[]", "m", &all).is_err());
    }

    #[test]
    fn chunks_make_an_answer() {
        let mut answer = Answer::default();
        for data in [
            r#"{"id":"x","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a\n"}}],"usage":null}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"other"}},{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5},"error":null}"#,
            "[DONE]",
        ] {
            answer.take(data);
        }
        assert_eq!(
            (answer.text.as_str(), answer.pieces, answer.done),
            ("a\nb", 2, true)
        );
        assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
        assert_eq!(
            (answer.usage, answer.model.as_deref()),
            (Some(usage(3, 2)), Some("m-1"))
        );
        assert_eq!(answer.error, None);
    }

    #[test]
    fn errors_in_the_stream_are_seen_and_their_messages_are_not_passed_on() {
        let mut answer = Answer::default();
        answer.take("<html>");
        assert_eq!(answer.error, Some(Wrong::NoChunk));
        let mut answer = Answer::default();
        answer.take(r#"{"error":{"message":"secret words","type":"server_error","code":500,"param":"a b"}}"#);
        let Some(Wrong::Said(error)) = answer.error else {
            panic!("an error was said")
        };
        assert_eq!(error.words(), ", type server_error");
        let long = UpstreamError::parse(br#"{"error":{"code":"context_length_exceeded"}}"#);
        assert!(long.is_context_length());
        let long = UpstreamError::parse(
            br#"{"object":"error","message":"This model's maximum context length is 10 tokens"}"#,
        );
        assert!(long.is_context_length() && long.words().is_empty());
        assert_eq!(UpstreamError::parse(b"<html>"), UpstreamError::default());
    }
}
