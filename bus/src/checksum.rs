//! Reads a record's value. A checksum lies over it, because Avro would read many flipped bits as another valid record.

use bytes::Bytes;
use relay_schemas::{DecodeError, Registry};

use crate::record::header;
use crate::{Headers, Record};

/// The value of `record` as a `T`; checks the CRC header first where there is one.
///
/// # Errors
/// [`DecodeError`]; a schema that is unknown may be looked up, all else is poison.
pub fn decode<T: relay_schemas::Record>(registry: &Registry, record: &Record) -> Result<T, DecodeError> {
    verify::<T>(record)?;
    registry.decode(record.value.as_deref())
}

/// Adds the checksum of `value`; the stage runner does it for what a stage publishes.
pub fn stamp(headers: &mut Headers, value: &[u8]) {
    headers.set(
        header::CRC32,
        Bytes::from(format!("{:08x}", crc32fast::hash(value))),
    );
}

/// Holds the value against its checksum; a record without one (batch lines from other languages) passes.
fn verify<T: relay_schemas::Record>(record: &Record) -> Result<(), DecodeError> {
    let (Some(expected), Some(value)) = (record.headers.get(header::CRC32), &record.value) else {
        return Ok(());
    };
    if expected[..] == *format!("{:08x}", crc32fast::hash(value)).as_bytes() {
        return Ok(());
    }
    Err(DecodeError::Malformed {
        record: T::NAME,
        reason: "its checksum does not match".to_owned(),
    })
}
