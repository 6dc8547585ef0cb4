//! Objects of which only the name is known here: what else they say stays in the body. A name travels far, so it is bounded.

use serde::Deserialize;

use crate::error::Invalid;
use crate::limits::Limits;

/// An object that may have a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The name.
    pub name: Option<String>,
}

/// What a client chooses among functions and tools; one of its names counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Chosen {
    /// A function's, as they were called before tools.
    name: Option<String>,
    #[serde(default, deserialize_with = "crate::members::one")]
    function: Option<Named>,
    #[serde(default, deserialize_with = "crate::members::one")]
    custom: Option<Named>,
}

/// # Errors
/// If the name is longer than names may be.
pub(crate) fn check(path: &str, named: Option<&Named>, limits: &Limits) -> Result<(), Invalid> {
    let name = named.and_then(|named| named.name.as_deref());
    length(&format!("{path}.name"), name, limits.name_length)
}

impl Chosen {
    /// # Errors
    /// If a name is longer than names may be.
    pub(crate) fn check(&self, path: &str, limits: &Limits) -> Result<(), Invalid> {
        length(&format!("{path}.name"), self.name.as_deref(), limits.name_length)?;
        check(&format!("{path}.function"), self.function.as_ref(), limits)?;
        check(&format!("{path}.custom"), self.custom.as_ref(), limits)
    }
}

/// # Errors
/// If the text is longer than `most` bytes.
pub(crate) fn length(path: &str, text: Option<&str>, most: usize) -> Result<(), Invalid> {
    match text {
        Some(text) if text.len() > most => {
            let message = format!("`{path}` may be at most {most} bytes long, got {}", text.len());
            Err(Invalid::value(path, message))
        }
        _ => Ok(()),
    }
}

/// Line breaks and tabs: what a text may hold that a name may not.
pub(crate) const BREAKS: [char; 3] = ['\n', '\r', '\t'];

/// # Errors
/// If the text holds control characters besides `allowed`: not every table can keep them, so what has them could not be found again.
pub(crate) fn printable(path: &str, text: Option<&str>, allowed: &[char]) -> Result<(), Invalid> {
    let control = |c: &char| c.is_control() && !allowed.contains(c);
    match text.and_then(|text| text.chars().find(control)) {
        Some(found) => {
            let message = format!(
                "`{path}` holds the control character U+{:04X}; leave it out",
                u32::from(found)
            );
            Err(Invalid::value(path, message))
        }
        None => Ok(()),
    }
}
