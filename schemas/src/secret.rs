//! What must not be shown: passwords, keys, and addresses that may hold one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A text that neither `Debug` nor an error shows, and that cannot be serialised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever has to use it. Never for logs, metrics or errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Not `deserialize_str`: what is no text must reach the reader, or serde refuses it by quoting it.
        from.deserialize_any(Reader)
    }
}

/// Reads a text. What is none is refused without being quoted, which serde's own refusal would do.
struct Reader;

const NO_TEXT: &str = "a secret must be text: put it in quotes";

impl Visitor<'_> for Reader {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::from(text))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(NO_TEXT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_and_not_shown() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("a text");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret))
                .matches("hunter2")
                .count(),
            0
        );
    }

    #[test]
    fn what_is_no_text_is_refused_without_being_quoted() {
        for given in ["421337", "-421337", "4213.37", "true"] {
            let error = serde_json::from_str::<Secret>(given)
                .expect_err("no text")
                .to_string();
            assert!(
                error.contains(NO_TEXT) && !error.contains(given),
                "{given}: {error}"
            );
        }
    }
}
