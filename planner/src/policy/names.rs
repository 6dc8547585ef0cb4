//! Values that refuse what they must not hold when they are read, so that a file's mistake has its place.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Longest name of anything, in bytes.
const LONGEST_NAME: usize = 64;

macro_rules! text {
    ($name:ident, $sound:expr, $problem:literal, $remedy:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let sound: fn(&str) -> bool = $sound;
                if sound(&text) {
                    return Ok(Self(text));
                }
                Err(D::Error::custom(format!(
                    concat!("`{}` is no ", $problem, "; ", $remedy),
                    text
                )))
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A name for people, metrics and traces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

text!(
    Name,
    |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(fits)
    },
    "name",
    "use 1 to 64 letters, digits, - and _"
);

/// What clients call a model: any text that is not too long for a trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelName(String);

text!(
    ModelName,
    |text| !text.is_empty() && text.len() <= LONGEST_NAME,
    "model name",
    "use 1 to 64 bytes"
);

/// A time above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(Duration);

impl Time {
    /// In the records' unit.
    pub fn as_ms(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time: Duration = humantime_serde::deserialize(deserializer)?;
        if time < Duration::from_millis(1) {
            return Err(D::Error::custom(
                "is less than a millisecond; give for example 500ms, 2s or 1h",
            ));
        }
        Ok(Self(time))
    }
}
