//! The request of a completion.

use serde::Deserialize;

use crate::error::Invalid;
use crate::limits::Limits;
use crate::read::typed;
use crate::sampling::{Sampling, most};
use crate::tokens::estimate;
use crate::values::{Count, Input};

/// A completion, as far as Relay knows it. What it does not know stays in the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// What it shares with other operations.
    pub sampling: Sampling,
    /// What is its own.
    pub task: Task,
}

/// The fields that only completions have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct Task {
    pub prompt: Input,
    pub suffix: Option<String>,
    pub echo: Option<bool>,
    pub best_of: Option<Count>,
    pub logprobs: Option<u32>,
}

impl Completion {
    /// Reads a body, whose bounds are not looked at.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn read(body: &str) -> Result<Self, Invalid> {
        Ok(Self {
            sampling: Sampling::read(body)?,
            task: typed(body)?,
        })
    }

    /// Holds it against its ranges and bounds.
    ///
    /// # Errors
    /// The first that does not keep to them.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        check_input("prompt", &self.task.prompt, limits)?;
        self.sampling.check(limits)?;
        let n = self.sampling.n.map_or(1, |n| n.0);
        let prompts = u32::try_from(self.task.prompt.len()).unwrap_or(u32::MAX);
        most("n", n.saturating_mul(prompts), limits.choices)?;
        most("logprobs", self.task.logprobs.unwrap_or(0), limits.top_logprobs)?;
        if let Some(Count(best_of)) = self.task.best_of {
            most("best_of", best_of, limits.choices)?;
            if best_of < n {
                return Err(Invalid::value("best_of", "`best_of` must not be less than `n`"));
            }
            if best_of > n && self.sampling.streams() {
                return Err(Invalid::value(
                    "best_of",
                    "`best_of` above `n` cannot be streamed: the best is known at the end",
                ));
            }
        }
        Ok(())
    }

    /// Tokens of the prompts, estimated where they are texts.
    pub fn prompt_tokens(&self) -> u32 {
        input_tokens(&self.task.prompt)
    }
}

/// # Errors
/// If there is no input, an empty one, or one too many.
pub(crate) fn check_input(path: &str, input: &Input, limits: &Limits) -> Result<(), Invalid> {
    if input.lacks_something() {
        return Err(Invalid::value(path, format!("`{path}` must not be empty")));
    }
    if input.len() > limits.inputs {
        let message = format!("`{path}` may hold at most {}, got {}", limits.inputs, input.len());
        return Err(Invalid::value(path, message));
    }
    Ok(())
}

/// Tokens of inputs, estimated where they are texts.
pub(crate) fn input_tokens(input: &Input) -> u32 {
    match input {
        Input::Texts(texts) => texts
            .texts
            .iter()
            .fold(0, |sum, text| sum.saturating_add(estimate(text))),
        Input::Tokens { lists, .. } => {
            let tokens: usize = lists.iter().map(Vec::len).sum();
            u32::try_from(tokens).unwrap_or(u32::MAX)
        }
    }
}
