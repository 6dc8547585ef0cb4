//! A checksum over a record's value, because Avro would read many flipped bits as another valid record.

use bytes::Bytes;

use crate::headers::{Headers, header};

/// Adds the checksum of `value`; the stage runner does it for what a stage publishes.
pub fn stamp(headers: &mut Headers, value: &[u8]) {
    headers.set(header::CRC32, Bytes::from(of(value)));
}

/// Whether `value` is what the checksum in `headers` was made from. Without one (batch lines from other languages) it passes.
pub fn is_intact(headers: &Headers, value: &[u8]) -> bool {
    headers
        .get(header::CRC32)
        .is_none_or(|expected| expected[..] == *of(value).as_bytes())
}

fn of(value: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(value))
}
