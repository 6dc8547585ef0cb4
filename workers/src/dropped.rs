//! What of an endpoint's answer was left out for its size: never text, only fields that nobody here knows. Pure.

use serde::Serialize;

/// So many fields, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// How many.
    pub fields: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Dropped {
    /// One more.
    pub fn add(&mut self, bytes: usize) {
        *self = self.and(Self {
            fields: 1,
            bytes: bytes as u64,
        });
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Whether nothing was.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}
