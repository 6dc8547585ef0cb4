//! Which fields an endpoint is sent, and by which name.

use std::fmt;

use serde::de::{EnumAccess, Error, VariantAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The name under which an endpoint takes a limit of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields' own names")]
pub enum LimitField {
    MaxTokens,
    /// A chat's alone: a text completion's stays `max_tokens`.
    MaxCompletionTokens,
    MaxOutputTokens,
    MaxNewTokens,
    /// It takes none.
    #[serde(rename = "none")]
    Nothing,
}

impl LimitField {
    /// The field, if there is one.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::MaxTokens => Some("max_tokens"),
            Self::MaxCompletionTokens => Some("max_completion_tokens"),
            Self::MaxOutputTokens => Some("max_output_tokens"),
            Self::MaxNewTokens => Some("max_new_tokens"),
            Self::Nothing => None,
        }
    }
}

/// The fields that may be left out: an answer without them is another one, and still an answer to the question.
const OPTIONAL: [&str; 19] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "reasoning_effort",
    "service_tier",
    "store",
    "metadata",
    "user",
    "stream_options",
];

/// A field that an endpoint is never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OmittedField(pub &'static str);

impl<'de> Deserialize<'de> for OmittedField {
    /// By hand for the sake of limits, which have a key of their own. Read as an enum, so that a schema lists the names.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;

        impl<'de> Visitor<'de> for Name {
            type Value = OmittedField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<OmittedField, A::Error> {
                let (name, rest) = from.variant::<String>()?;
                rest.unit_variant()?;
                OmittedField::named(&name)
            }
        }

        from.deserialize_enum("OmittedField", &OPTIONAL, Name)
    }
}

impl OmittedField {
    fn named<E: Error>(name: &str) -> Result<Self, E> {
        const LIMITS: [&str; 4] = [
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "max_new_tokens",
        ];
        if LIMITS.contains(&name) {
            let problem = format!("`{name}` is a limit of tokens; say `limit_field: none` beside `omit`");
            return Err(E::custom(problem));
        }
        let known = OPTIONAL.iter().find(|known| **known == name);
        known
            .map(|known| Self(known))
            .ok_or_else(|| E::unknown_variant(name, &OPTIONAL))
    }
}
