//! The request of embeddings.

use serde::Deserialize;

use crate::completions::parse::{check_input, input_tokens};
use crate::error::Invalid;
use crate::limits::Limits;
use crate::read::typed;
use crate::sampling::{model, user};
use crate::values::{Count, Input};

/// Embeddings, as far as Relay knows the request. What it does not know stays in the body.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the API's own names")]
pub struct Embeddings {
    pub model: Option<String>,
    pub input: Input,
    pub dimensions: Option<Count>,
    pub encoding_format: Option<Encoding>,
    pub user: Option<String>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// As a list of numbers.
    #[default]
    Float,
    /// As the bytes of 32-bit floats, little endian, in base64.
    Base64,
}

impl Embeddings {
    /// Reads a body, whose bounds are not looked at.
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn read(body: &str) -> Result<Self, Invalid> {
        typed(body)
    }

    /// Holds it against its bounds.
    ///
    /// # Errors
    /// The first that it does not keep to.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        model(self.model.as_deref(), limits)?;
        user(self.user.as_deref(), limits)?;
        check_input("input", &self.input, limits)?;
        let texts = match &self.input {
            Input::Texts(texts) => &texts.texts[..],
            Input::Tokens { .. } => &[],
        };
        if texts.iter().any(String::is_empty) {
            return Err(Invalid::value("input", "`input` must not hold empty strings"));
        }
        Ok(())
    }

    /// Tokens of the inputs, estimated where they are texts.
    pub fn prompt_tokens(&self) -> u32 {
        input_tokens(&self.input)
    }
}
