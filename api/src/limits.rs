//! Bounds at the door: what is accepted travels in an envelope that every later topic has to hold.

use serde::Deserialize;

/// The most that one request may hold. Lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Length of the model's name.
    pub model_length: usize,
    /// Messages of a conversation.
    pub messages: usize,
    /// Stop strings.
    pub stops: usize,
    /// Length of one stop string.
    pub stop_length: usize,
    /// Tools.
    pub tools: usize,
    /// Length of the names of tools, functions and speakers, and of the client's names of its users.
    pub name_length: usize,
    /// Keys of the metadata.
    pub metadata_keys: usize,
    /// Length of a key of the metadata.
    pub metadata_key_length: usize,
    /// Length of a value of the metadata.
    pub metadata_value_length: usize,
    /// Choices of one request, counted for each of its prompts.
    pub choices: u32,
    /// Alternatives whose log-probabilities are told for each token.
    pub top_logprobs: u32,
    /// Prompts of a completion, or inputs of embeddings.
    pub inputs: usize,
    /// How deep the body may be nested, the schemas of tools included.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            model_length: 256,
            messages: 4_096,
            stops: 4,
            stop_length: 1_024,
            tools: 128,
            name_length: 256,
            metadata_keys: 16,
            metadata_key_length: 64,
            metadata_value_length: 512,
            choices: 128,
            top_logprobs: 20,
            inputs: 2_048,
            depth: crate::json::DEEPEST,
        }
    }
}
