//! A policy: what its file says, checked, with the version that names it.
//!
//! Only a whole and coherent policy exists as a [`Policy`]; what is wrong with a file is a [`PolicyError`] that names
//! line and key. The grammar is written down in `docs/policy.md`.

mod bounds;
mod check;
mod error;
mod grammar;
mod locate;
#[cfg(test)]
mod tests;

use sha2::{Digest as _, Sha256};

pub use bounds::Bounds;
pub use error::PolicyError;
pub use grammar::{
    CacheDefaults, CachePart, CandidateSpec, Defaults, Document, Match, Patterns, Profile, Range, Rule,
    Settings, Unmatched,
};

/// A checked policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    version: String,
    body: String,
    document: Document,
}

impl Policy {
    /// Parses and checks a policy file.
    ///
    /// # Errors
    /// The first mistake, with line, key and how to mend it.
    pub fn parse(body: &str) -> Result<Self, PolicyError> {
        let document: Document =
            serde_yaml_ng::from_str(body).map_err(|error| PolicyError::unreadable(&error))?;
        check::check(&document).map_err(|mistake| mistake.located(body))?;
        Ok(Self {
            version: version_of(&document.name, body),
            body: body.to_owned(),
            document,
        })
    }

    /// `name@sha256` of the file's bytes.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file, to the byte.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// What the file says.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The models that clients may name, in the order of the file.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.document.models.iter().map(|(name, _)| name.as_str())
    }
}

fn version_of(name: &str, body: &str) -> String {
    let hash = Sha256::digest(body.as_bytes());
    hash.iter().fold(format!("{name}@"), |mut version, byte| {
        use std::fmt::Write;
        write!(version, "{byte:02x}").expect("writing to a String cannot fail");
        version
    })
}
