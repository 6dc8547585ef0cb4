//! Answers, whole and in pieces. Field by field: the schemas.
//!
//! What an endpoint says beside the fields that this gateway knows is carried as the text of a JSON object (`extra`), so that
//! numbers of any size stay as they were written. Tables keep answers as JSON: a field that a row does not have yet is left at its
//! default.
#![expect(missing_docs, reason = "documented field by field in the schemas")]

use serde::{Deserialize, Serialize};

/// Why a choice ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    FunctionCall,
}

impl FinishReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Stop,
        Self::Length,
        Self::ToolCalls,
        Self::ContentFilter,
        Self::FunctionCall,
    ];

    /// The word that the API has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::FunctionCall => "function_call",
        }
    }

    /// The reason of that name, if it is one of the API's five.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolCall {
    pub id: String,
    pub kind: String,
    pub name: String,
    pub arguments: String,
    pub extra: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Message {
    pub text: Option<String>,
    pub reasoning: Option<String>,
    pub refusal: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub logprobs: Vec<String>,
    pub refusal_logprobs: Vec<String>,
    pub extra: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    pub index: u32,
    pub message: Message,
    pub finish_reason: Option<FinishReason>,
    pub extra: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Embedding {
    pub index: u32,
    pub values: Vec<f32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub choices: Vec<Choice>,
    pub embeddings: Vec<Embedding>,
    pub model: String,
    pub model_version: String,
    pub usage_details: Option<String>,
    pub extra: Option<String>,
    pub content_dropped: bool,
}

impl Answer {
    /// Leaves out everything that may be large, and says so. What ran and why each choice ended stays.
    pub fn drop_content(&mut self) {
        for choice in &mut self.choices {
            choice.message = Message::default();
            choice.extra = None;
        }
        self.embeddings.clear();
        self.usage_details = None;
        self.extra = None;
        self.content_dropped = true;
    }

    /// The text of the first choice; empty where there is none.
    pub fn first_text(&self) -> &str {
        let first = self.choices.first();
        first
            .and_then(|choice| choice.message.text.as_deref())
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    pub index: u32,
    pub id: Option<String>,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
    pub extra: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    pub index: u32,
    pub text: String,
    pub reasoning: String,
    pub refusal: String,
    pub tool_calls: Vec<ToolCallDelta>,
    pub logprobs: Vec<String>,
    pub refusal_logprobs: Vec<String>,
    pub finish_reason: Option<FinishReason>,
    pub extra: Option<String>,
    pub choice_extra: Option<String>,
}

impl Delta {
    /// A piece of text of the first choice.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// The end of a choice.
    pub fn finish(index: u32, reason: FinishReason) -> Self {
        Self {
            index,
            finish_reason: Some(reason),
            ..Self::default()
        }
    }

    /// Whether it says nothing: of what, does not matter.
    pub fn is_empty(&self) -> bool {
        let nothing = Self {
            index: self.index,
            ..Self::default()
        };
        *self == nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_its_content_holds_nothing_whose_length_an_endpoint_chose() {
        let large = || Some("x".repeat(1_000_000));
        let choice = Choice {
            message: Message {
                text: large(),
                ..Message::default()
            },
            finish_reason: Some(FinishReason::Stop),
            extra: large(),
            ..Choice::default()
        };
        let mut answer = Answer {
            choices: vec![choice],
            embeddings: vec![Embedding::default()],
            usage_details: large(),
            extra: large(),
            ..Answer::default()
        };
        answer.drop_content();
        let left = Answer {
            choices: vec![Choice {
                finish_reason: Some(FinishReason::Stop),
                ..Choice::default()
            }],
            content_dropped: true,
            ..Answer::default()
        };
        assert!(answer == left, "something large stayed");
    }
}
