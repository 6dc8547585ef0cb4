//! From the canonical request to what a model is given. Pure.

use serde::{Deserialize, Serialize};

/// What is to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A conversation, in which the assistant speaks next.
    Chat(Vec<Message>),
    /// Plain text, to be gone on with.
    Text(String),
}

impl Prompt {
    /// Everything in it that a client wrote.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Chat(messages) => messages.iter().flat_map(Message::texts).collect(),
            Self::Text(text) => vec![text],
        }
    }
}

/// One message of a conversation; several text parts are one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, …
    pub role: String,
    /// What was said.
    pub content: String,
    /// Who said it, where several share a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    fn texts(&self) -> impl Iterator<Item = &str> {
        [self.role.as_str(), self.content.as_str()]
            .into_iter()
            .chain(self.name.as_deref())
    }
}

#[derive(Deserialize)]
struct Canonical {
    messages: Option<Vec<RawMessage>>,
    prompt: Option<Text>,
    n: Option<u32>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    logprobs: Option<serde_json::Value>,
    logit_bias: Option<serde_json::Map<String, serde_json::Value>>,
    tools: Option<Vec<serde_json::Value>>,
    response_format: Option<ResponseFormat>,
}

#[derive(Deserialize)]
struct RawMessage {
    role: String,
    content: Option<Text>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ResponseFormat {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: String,
}

/// Takes the prompt out of a canonical request, for a model that runs here.
///
/// # Errors
/// What is wrong or not supported, in words that hold nothing of the prompt. What would change the answer and is not
/// supported is refused, because an answer that ignores it is a wrong one.
pub fn of(canonical: &str) -> Result<Prompt, String> {
    let request: Canonical = serde_json::from_str(canonical)
        .map_err(|error| format!("the request cannot be read ({:?})", error.classify()))?;
    refuse_unsupported(&request)?;
    match (request.messages, request.prompt) {
        (Some(messages), _) if messages.is_empty() => Err("`messages` is empty".to_owned()),
        (Some(messages), _) => {
            let message = |raw: RawMessage| {
                let content = raw.content.map_or(Ok(String::new()), text)?;
                Ok(Message {
                    role: raw.role,
                    content,
                    name: raw.name,
                })
            };
            messages
                .into_iter()
                .map(message)
                .collect::<Result<_, String>>()
                .map(Prompt::Chat)
        }
        (None, Some(prompt)) => text(prompt).map(Prompt::Text),
        (None, None) => Err("neither `messages` nor `prompt`".to_owned()),
    }
}

fn refuse_unsupported(request: &Canonical) -> Result<(), String> {
    let set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let logprobs = request.logprobs.as_ref();
    let asked = [
        ("n", request.n.is_some_and(|n| n > 1)),
        ("frequency_penalty", set(request.frequency_penalty)),
        ("presence_penalty", set(request.presence_penalty)),
        (
            "logprobs",
            logprobs.is_some_and(|value| !matches!(value, serde_json::Value::Bool(false))),
        ),
        (
            "logit_bias",
            request.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
        ),
        (
            "tools",
            request.tools.as_ref().is_some_and(|tools| !tools.is_empty()),
        ),
        (
            "response_format",
            request
                .response_format
                .as_ref()
                .is_some_and(|format| format.r#type != "text"),
        ),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(format!(
            "`{field}` is not supported by models that run on ONNX Runtime yet"
        )),
        None => Ok(()),
    }
}

fn text(text: Text) -> Result<String, String> {
    match text {
        Text::Whole(text) => Ok(text),
        Text::Parts(parts) => match parts.iter().find(|part| part.r#type != "text") {
            Some(_) => Err("only parts of type `text` are supported by this model".to_owned()),
            None => Ok(parts.into_iter().map(|part| part.text).collect()),
        },
    }
}

/// What ends the answer of a model without a chat template: the next question.
pub const TRANSCRIPT_STOP: &str = "\nQuestion:";

/// A conversation for a model without a chat template (GPT-2 and its like know none), in the form that plain language
/// models have seen most: what the user says after `Question:`, what the assistant says after `Answer:`, anything else as it
/// stands, a line each, and at the end an answer left open. [`TRANSCRIPT_STOP`] ends it.
///
/// ```text
/// Be brief.
/// Question: What is the capital of France?
/// Answer:
/// ```
pub fn transcript(messages: &[Message]) -> String {
    let line = |message: &Message| {
        let content = message.content.trim();
        match message.role.as_str() {
            "user" => format!("Question: {content}\n"),
            "assistant" => format!("Answer: {content}\n"),
            _ => format!("{content}\n"),
        }
    };
    let mut transcript: String = messages.iter().map(line).collect();
    transcript.push_str("Answer:");
    transcript
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_and_plain_prompts_are_taken_out() {
        let chat = r#"{"messages":[{"content":"a","role":"system"},
            {"content":[{"text":"b","type":"text"},{"text":"c","type":"text"}],"name":"x","role":"user"},
            {"content":null,"role":"assistant"}],"n":1,"logit_bias":{},"response_format":{"type":"text"}}"#;
        let message = |role: &str, content: &str, name: Option<&str>| Message {
            role: role.to_owned(),
            content: content.to_owned(),
            name: name.map(str::to_owned),
        };
        let messages = vec![
            message("system", "a", None),
            message("user", "bc", Some("x")),
            message("assistant", "", None),
        ];
        assert_eq!(transcript(&messages), "a\nQuestion: bc\nAnswer: \nAnswer:");
        assert_eq!(of(chat), Ok(Prompt::Chat(messages)));
        assert_eq!(of(r#"{"prompt":"Once"}"#), Ok(Prompt::Text("Once".to_owned())));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name_and_nothing_of_the_prompt_is_said() {
        let cases = [
            (r#"{"messages":[]}"#, "`messages` is empty"),
            ("{}", "neither `messages` nor `prompt`"),
            (r#"{"prompt":"secret","n":2}"#, "`n` is not supported"),
            (
                r#"{"prompt":"secret","presence_penalty":0.5}"#,
                "`presence_penalty` is not supported",
            ),
            (
                r#"{"prompt":"secret","logprobs":true}"#,
                "`logprobs` is not supported",
            ),
            (r#"{"prompt":"secret","tools":[{}]}"#, "`tools` is not supported"),
            (
                r#"{"prompt":"secret","response_format":{"type":"json_object"}}"#,
                "`response_format` is not",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
                "only parts of type `text`",
            ),
            (r#"{"messages":"secret"}"#, "cannot be read"),
        ];
        for (canonical, expected) in cases {
            let Err(error) = of(canonical) else {
                panic!("{canonical} was taken")
            };
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
