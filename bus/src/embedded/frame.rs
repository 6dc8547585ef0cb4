//! A record as bytes in the log: time of append, then key, headers and value.

use bytes::{Buf, BufMut, Bytes};
use relay_schemas::TimestampMs;

use crate::{Headers, Outgoing, Position, Record};

const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;

/// Bytes that count against a topic's largest record.
pub(super) fn size_of(record: &Outgoing) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    headers + record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
}

/// Encodes `record`, leaving room for the time, which only the writer knows.
pub(super) fn encode(record: &Outgoing) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of(record) + 15 + 6 * record.headers.iter().count());
    bytes.put_i64(0);
    let flags =
        if record.key.is_some() { HAS_KEY } else { 0 } | if record.value.is_some() { HAS_VALUE } else { 0 };
    bytes.put_u8(flags);
    if let Some(key) = &record.key {
        bytes.put_u32(key.len() as u32);
        bytes.put_slice(key);
    }
    bytes.put_u16(record.headers.iter().count() as u16);
    for (name, value) in record.headers.iter() {
        bytes.put_u16(name.len() as u16);
        bytes.put_slice(name.as_bytes());
        bytes.put_u32(value.len() as u32);
        bytes.put_slice(value);
    }
    if let Some(value) = &record.value {
        bytes.put_slice(value);
    }
    bytes
}

/// Puts the time of append into an encoded record.
pub(super) fn stamp(bytes: &mut [u8], now: TimestampMs) {
    bytes[..8].copy_from_slice(&now.0.to_be_bytes());
}

/// The time of append of an encoded record.
pub(super) fn time_of(bytes: &[u8]) -> Option<i64> {
    bytes.first_chunk().map(|time| i64::from_be_bytes(*time))
}

/// The key of an encoded record.
pub(super) fn key_of(bytes: &[u8]) -> Option<Bytes> {
    let (flags, rest) = bytes.get(8..)?.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    (flags & HAS_KEY != 0)
        .then(|| {
            rest.get(..u32::from_be_bytes(*length) as usize)
                .map(Bytes::copy_from_slice)
        })
        .flatten()
}

/// Whether an encoded record is a tombstone.
pub(super) fn is_tombstone(bytes: &[u8]) -> bool {
    bytes.get(8).is_some_and(|flags| flags & HAS_VALUE == 0)
}

/// Decodes a record; `None` where the bytes are none, which the table's checksums rule out.
pub(super) fn decode(position: Position, bytes: &[u8]) -> Option<Record> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let timestamp = TimestampMs(bytes.try_get_i64().ok()?);
    let flags = bytes.try_get_u8().ok()?;
    let key = if flags & HAS_KEY == 0 {
        None
    } else {
        let length = bytes.try_get_u32().ok()? as usize;
        Some(take(&mut bytes, length)?)
    };
    let headers = (0..bytes.try_get_u16().ok()?)
        .map(|_| header(&mut bytes))
        .collect::<Option<Headers>>()?;
    Some(Record {
        position,
        timestamp,
        key,
        headers,
        value: (flags & HAS_VALUE != 0).then_some(bytes),
    })
}

fn header(bytes: &mut Bytes) -> Option<(String, Bytes)> {
    let length = usize::from(bytes.try_get_u16().ok()?);
    let name = String::from_utf8(take(bytes, length)?.to_vec()).ok()?;
    let length = bytes.try_get_u32().ok()? as usize;
    Some((name, take(bytes, length)?))
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Partition;

    fn outgoing(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Outgoing {
        let mut headers = Headers::default();
        headers.set("a", "1");
        headers.set("empty", Bytes::new());
        Outgoing {
            topic: "t".to_owned(),
            partition: None,
            key: key.map(Bytes::from_static),
            headers,
            value: value.map(Bytes::from_static),
        }
    }

    fn position() -> Position {
        Position {
            partition: Partition::new("t", 0),
            offset: 7,
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_with_its_time_key_headers_and_value() {
        for (key, value) in [
            (Some(&b"k"[..]), Some(&b"v"[..])),
            (None, Some(&b""[..])),
            (Some(&b""[..]), None),
            (None, None),
        ] {
            let record = outgoing(key, value);
            let mut bytes = encode(&record);
            stamp(&mut bytes, TimestampMs(1234));
            let back = decode(position(), &bytes).unwrap();
            assert_eq!(back.timestamp, TimestampMs(1234));
            assert_eq!(
                (back.key, back.headers, back.value),
                (record.key.clone(), record.headers, record.value)
            );
            assert_eq!(key_of(&bytes), record.key);
            assert_eq!(time_of(&bytes), Some(1234));
            assert_eq!(is_tombstone(&bytes), value.is_none());
        }
    }

    #[test]
    fn cut_bytes_are_no_record_instead_of_a_panic() {
        let bytes = encode(&outgoing(Some(b"key"), Some(b"")));
        for length in 0..bytes.len() {
            assert!(decode(position(), &bytes[..length]).is_none(), "{length} bytes");
        }
    }
}
