//! How a reading ends whose only use is to learn what is read.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

/// Why a type read no further.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// It is known now.
    Here,
    Missing(&'static str),
    /// A key is not known; those that are.
    Unknown(&'static [&'static str]),
    WrongKind,
    Refused,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Ended {}

impl de::Error for Ended {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Refused
    }

    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::WrongKind
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::Unknown(known)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::Missing(key)
    }
}
