//! A policy: what its file says, checked, with the version that names it.
//!
//! Only a whole and coherent policy exists as a [`Policy`]; what is wrong with a file is a [`Mistake`] that names
//! line, column and key. The grammar is written down in `docs/policy.md`.

mod absent;
mod bounds;
mod check;
mod grammar;
mod names;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::BTreeSet;

use relay_settings::{Mistake, Reading};
use sha2::{Digest as _, Sha256};

pub use bounds::{Bounds, Limits, Mass, Preset, Temperature, Tokens};
pub use grammar::{
    CacheDefaults, CachePart, CandidateSpec, Candidates, Defaults, Document, Match, Patterns, Profile, Range,
    Rule, Settings, Unmatched,
};
pub use names::{ModelName, Name, Time};
pub(crate) use weight::LONGEST_VALUE;
pub use weight::MOST_PLANNING;

/// A checked policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    version: String,
    body: String,
    document: Document,
}

impl Policy {
    /// Parses and checks a policy file. A byte order mark is none of its bytes.
    ///
    /// # Errors
    /// The first mistake, with line, column, key and how to mend it.
    pub fn parse(body: &str) -> Result<Self, Mistake> {
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let document = Self::read(body).sound()?;
        Ok(Self {
            version: format!("{}@{:x}", document.name, Sha256::digest(body.as_bytes())),
            body: body.to_owned(),
            document,
        })
    }

    /// What a policy file says, as far as it can be used, and all that is wrong with it.
    pub fn read(body: &str) -> Reading<Document> {
        let reading: Reading<Document> = relay_settings::read_all(body);
        let Some(document) = &reading.value else {
            return reading;
        };
        let mut found = check::check(document, &|key| reading.is_mistaken(key));
        found.extend(weight::check(document));
        reading.and(found)
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

    /// The pools that it plans into, in the order of the file.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.document.pools.iter().map(|pool| &***pool)
    }

    /// What it plans to run: each model of a candidate in its pool, once.
    pub fn planned_models(&self) -> BTreeSet<(&str, &str)> {
        let candidates = self.document.models.values().flat_map(|candidates| &candidates.0);
        candidates
            .map(|candidate| (candidate.pool.as_str(), candidate.model.as_str()))
            .collect()
    }

    /// The models that clients may name, in the order of the file.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.document.models.keys().map(|name| &**name)
    }
}
