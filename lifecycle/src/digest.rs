//! SHA-256 over named fields, each with its length, so that no two lists of fields share an encoding.
//!
//! The encoding is the domain, a line feed, and then per field `name:length:value` and a line feed, `length` in bytes
//! and decimal. It is written down in `docs/policy.md`, so that others can recompute every hash.

use sha2::{Digest as _, Sha256};

/// A digest under construction.
#[derive(Debug, Clone)]
pub struct Digest(Sha256);

impl Digest {
    /// Starts a digest of one kind; `domain` keeps kinds apart, also where their fields are equal.
    pub fn new(domain: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(domain);
        hash.update("\n");
        Self(hash)
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.update(format!("{name}:{}:", value.len()));
        self.0.update(value);
        self.0.update("\n");
        self
    }

    /// The digest, 64 lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}
