//! What a record or a message says: its bytes, and beside them the value itself where this process made it and still holds it.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::{DecodeError, Record, Registry, encode};
use bytes::Bytes;

/// The value of a record or message. Cheap to clone.
///
/// Readers in the process that made it get the value back without decoding; what comes from a disk or from another process is bytes
/// alone. Both always say the same.
#[derive(Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    said: Option<Arc<dyn Any + Send + Sync>>,
}

impl Payload {
    /// `value` and its bytes.
    pub fn of<T: Record>(value: Arc<T>) -> Self {
        Self {
            bytes: encode(&*value),
            said: Some(value),
        }
    }

    /// As it is written and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What it says, where that is at hand and is a `T`.
    pub fn said<T: Record>(&self) -> Option<Arc<T>> {
        self.said.clone()?.downcast().ok()
    }

    /// What it says, decoded where it is not at hand.
    ///
    /// # Errors
    /// As [`Registry::decode`].
    pub fn read<T: Record>(&self, registry: &Registry) -> Result<Arc<T>, DecodeError> {
        self.said()
            .map_or_else(|| registry.decode(Some(&self.bytes)).map(Arc::new), Ok)
    }

    /// Roughly what it takes in memory: a value at hand about as much as its bytes.
    pub fn footprint(&self) -> usize {
        self.bytes.len() * if self.said.is_some() { 2 } else { 1 }
    }
}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self {
            bytes: bytes.into(),
            said: None,
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Two that say the same have the same bytes.
impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Payload {}

impl<T: AsRef<[u8]>> PartialEq<T> for Payload {
    fn eq(&self, other: &T) -> bool {
        self.bytes == other.as_ref()
    }
}

/// Its length: what it says is the tenants'.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}
