//! What a policy may look at inside a body, and what it decodes by.

use relay_schemas::Operation;

use crate::chat::{Chat, Message};
use crate::completions::Completion;
use crate::embeddings::Embeddings;
use crate::error::Invalid;
use crate::sampling::Sampling;
use crate::values::Input;

/// Facts of one body. Null counts as absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// Top-p.
    pub top_p: Option<f64>,
    /// Top-k.
    pub top_k: Option<u32>,
    /// The seed.
    pub seed: Option<i64>,
    /// The stop strings.
    pub stop: Vec<String>,
    /// Choices wanted.
    pub choices: u32,
    /// Messages of a conversation; prompts or inputs of others.
    pub messages: u32,
    /// Whether tools may be called.
    pub has_tools: bool,
    /// Whether images come along.
    pub has_images: bool,
    /// Whether the answer is to be JSON.
    pub wants_json: bool,
    /// Bytes of the texts that make the prompt.
    pub prompt_bytes: u64,
}

/// The features of `body`.
///
/// # Errors
/// What is missing or of the wrong type; the door refuses that before.
pub fn of(operation: Operation, body: &str) -> Result<Features, Invalid> {
    match operation {
        Operation::Chat => Chat::read(body).map(|chat| of_chat(&chat)),
        Operation::Completion => Completion::read(body).map(|completion| Features {
            messages: completion.task.prompt.len() as u32,
            prompt_bytes: input_bytes(&completion.task.prompt),
            ..of_sampling(&completion.sampling)
        }),
        Operation::Embedding => Embeddings::read(body).map(|embeddings| Features {
            choices: 1,
            messages: embeddings.input.len() as u32,
            prompt_bytes: input_bytes(&embeddings.input),
            ..Features::default()
        }),
    }
}

fn of_chat(chat: &Chat) -> Features {
    let talk = &chat.talk;
    let images = ["image_url", "input_image"];
    let texts = talk.messages.iter().flat_map(Message::texts);
    let format = talk.response_format.as_ref();
    Features {
        messages: talk.messages.len() as u32,
        has_tools: talk.tools.as_ref().is_some_and(|tools| !tools.is_empty())
            || talk
                .functions
                .as_ref()
                .is_some_and(|functions| !functions.is_empty()),
        has_images: talk
            .messages
            .iter()
            .any(|message| images.iter().any(|kind| message.has_part(kind))),
        wants_json: format.is_some_and(|format| format.kind != "text"),
        prompt_bytes: texts.map(|text| text.len() as u64).sum(),
        ..of_sampling(&chat.sampling)
    }
}

fn of_sampling(sampling: &Sampling) -> Features {
    Features {
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        seed: sampling.seed,
        stop: sampling.stops().to_vec(),
        choices: sampling.n.map_or(1, |n| n.0),
        ..Features::default()
    }
}

fn input_bytes(input: &Input) -> u64 {
    match input {
        Input::Texts(texts) => texts.texts.iter().map(|text| text.len() as u64).sum(),
        Input::Tokens { lists, .. } => lists.iter().map(|list| 4 * list.len() as u64).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_tells_what_it_holds() {
        let body = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"Grüße"},{"type":"image_url","image_url":{"url":"x"}}]}],
            "tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_object"},
            "seed":-7,"stop":"END","top_k":40,"top_p":0.5,"n":2}"#;
        let expected = Features {
            top_p: Some(0.5),
            top_k: Some(40),
            seed: Some(-7),
            stop: vec!["END".to_owned()],
            choices: 2,
            messages: 1,
            has_tools: true,
            has_images: true,
            wants_json: true,
            prompt_bytes: 7,
        };
        assert_eq!(of(Operation::Chat, body), Ok(expected));
    }

    #[test]
    fn prompts_and_inputs_are_counted() {
        let completion = of(Operation::Completion, r#"{"prompt":["a","bc"]}"#).expect("a completion");
        assert_eq!((completion.messages, completion.prompt_bytes), (2, 3));
        let embeddings = of(Operation::Embedding, r#"{"input":[1,2,3]}"#).expect("embeddings");
        assert_eq!((embeddings.messages, embeddings.prompt_bytes), (1, 12));
    }
}
