//! A record as the log holds it: key, headers (its `meta`) and value, each with a checksum of the log's own.

use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes};
use relay_log::{Damaged, Found, NewRecord};
use relay_schemas::TimestampMs;

use super::slot::Slot;
use crate::headers::{header, name_of};
use crate::{Headers, Outgoing, Position, Record};

/// Longest key that the log can hold.
pub(super) const MOST_KEY: usize = u16::MAX as usize;

/// Bytes that count against a topic's largest record.
pub(super) fn size_of(record: &Outgoing) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    headers + record.key.as_ref().map_or(0, Bytes::len) + record.value.as_deref().map_or(0, <[u8]>::len)
}

/// `record` as the log takes it. The value is not copied.
pub(super) fn encode(slot: Slot, record: &Outgoing) -> NewRecord {
    NewRecord {
        slot,
        key: record.key.clone(),
        meta: meta_of(&record.headers),
        value: record
            .value
            .as_ref()
            .map(|value| value.bytes().clone())
            .unwrap_or_default(),
        tombstone: record.value.is_none(),
    }
}

fn meta_of(headers: &Headers) -> Bytes {
    let count = headers.iter().count();
    let size: usize = headers
        .iter()
        .map(|(name, value)| 6 + name.len() + value.len())
        .sum();
    let mut bytes = Vec::with_capacity(2 + size);
    bytes.put_u16_le(count as u16);
    for (name, value) in headers.iter() {
        bytes.put_u16_le(name.len() as u16);
        bytes.put_slice(name.as_bytes());
        bytes.put_u32_le(value.len() as u32);
        bytes.put_slice(value);
    }
    bytes.into()
}

fn headers_of(mut bytes: Bytes) -> Option<Headers> {
    let count = bytes.try_get_u16_le().ok()?;
    let headers: Option<Headers> = (0..count).map(|_| header_of(&mut bytes)).collect();
    headers.filter(|_| bytes.is_empty())
}

fn header_of(bytes: &mut Bytes) -> Option<(Cow<'static, str>, Bytes)> {
    let length = usize::from(bytes.try_get_u16_le().ok()?);
    let name = name_of(std::str::from_utf8(&take(bytes, length)?).ok()?);
    let length = bytes.try_get_u32_le().ok()? as usize;
    Some((name, take(bytes, length)?))
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

/// What was found at `position`. A damaged record keeps its place: it says so in a header, by which decoding it fails, and
/// has the key and headers it was written with where these are whole, and else, where the value is, what that says of whose
/// record it is. Its time is not known; `near` stands for it.
pub(super) fn decode(position: Position, near: TimestampMs, found: Found) -> Record {
    match found {
        Found::Record(found) => {
            let Some(headers) = headers_of(found.meta.clone()) else {
                let reason = "its headers are not as this version writes them".to_owned();
                return damaged(position, near, None, found.value, reason);
            };
            Record {
                position,
                timestamp: TimestampMs(found.timestamp),
                key: found.key,
                headers,
                value: (!found.tombstone).then(|| found.value.into()),
            }
        }
        Found::Damaged(Damaged {
            segment,
            position: at,
            meta,
            value,
            raw,
            ..
        }) => {
            let meta = meta.and_then(|(key, meta)| Some((key, headers_of(meta)?)));
            let meta = meta.or_else(|| Some((None, Headers::of_value(&value?)?)));
            let place = format!("segment {segment}, byte {at}");
            damaged(position, near, meta, raw, place)
        }
    }
}

fn damaged(
    position: Position,
    near: TimestampMs,
    meta: Option<(Option<Bytes>, Headers)>,
    raw: Bytes,
    reason: String,
) -> Record {
    let (key, mut headers) = meta.unwrap_or_default();
    headers.set(header::DAMAGED, reason);
    Record {
        position,
        timestamp: near,
        key,
        headers,
        value: Some(raw.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use relay_schemas::{BatchRequest, Outcome, samples};

    use super::*;
    use crate::Partition;

    fn position() -> Position {
        Position {
            partition: Partition::new("t", 0),
            offset: 7,
        }
    }

    fn outgoing(key: Option<&'static [u8]>, value: Option<&'static [u8]>) -> Outgoing {
        let mut headers = Headers::default();
        headers.set("a", "1");
        headers.set("empty", Bytes::new());
        Outgoing {
            topic: "t".into(),
            partition: None,
            key: key.map(Bytes::from_static),
            headers,
            value: value.map(Into::into),
        }
    }

    fn damaged(meta: Option<(Option<Bytes>, Bytes)>, value: Option<Bytes>) -> Found {
        Found::Damaged(Damaged {
            slot: 3,
            offset: 7,
            segment: 12,
            position: 4096,
            meta,
            value,
            raw: Bytes::from_static(b"raw"),
        })
    }

    fn found(new: NewRecord) -> Found {
        Found::Record(relay_log::Record {
            offset: 7,
            timestamp: 1234,
            key: new.key,
            meta: new.meta,
            value: new.value,
            tombstone: new.tombstone,
        })
    }

    #[test]
    fn what_is_encoded_is_decoded_with_its_key_headers_and_value() {
        for (key, value) in [
            (Some(&b"k"[..]), Some(&b"v"[..])),
            (None, Some(&b""[..])),
            (Some(&b""[..]), None),
            (None, None),
        ] {
            let record = outgoing(key, value);
            let back = decode(position(), TimestampMs(0), found(encode(3, &record)));
            assert_eq!(back.timestamp, TimestampMs(1234));
            assert_eq!(
                (back.key, back.headers, back.value),
                (record.key, record.headers, record.value)
            );
        }
    }

    #[test]
    fn cut_headers_are_a_damaged_record_instead_of_a_panic() {
        let new = encode(3, &outgoing(Some(b"key"), Some(b"")));
        for length in 0..new.meta.len() {
            let cut = NewRecord {
                meta: new.meta.slice(..length),
                ..new.clone()
            };
            let record = decode(position(), TimestampMs(5), found(cut));
            assert!(record.headers.get(header::DAMAGED).is_some(), "{length} bytes");
        }
    }

    #[test]
    fn a_damaged_record_keeps_whole_headers_and_says_where_it_lies() {
        let new = encode(3, &outgoing(Some(b"key"), Some(b"value")));
        let whole = damaged(Some((new.key.clone(), new.meta)), None);
        let record = decode(position(), TimestampMs(5), whole);
        assert_eq!((record.key, record.timestamp), (new.key, TimestampMs(5)));
        assert_eq!(record.headers.text("a"), Some("1"));
        assert_eq!(
            record.headers.text(header::DAMAGED),
            Some("segment 12, byte 4096")
        );
        let record = decode(position(), TimestampMs(5), damaged(None, None));
        assert_eq!(record.headers.iter().count(), 1);
    }

    #[test]
    fn where_headers_are_lost_a_whole_value_says_whose_record_it_is() {
        let request = samples::request();
        let outcome = Outcome {
            request_id: request.request_id.clone(),
            tenant: request.tenant.clone(),
            ..samples::outcome()
        };
        let values = [
            relay_schemas::encode(&request),
            relay_schemas::encode(&samples::planned()),
            relay_schemas::encode(&samples::ready()),
            relay_schemas::encode(&samples::work()),
            relay_schemas::encode(&outcome),
        ];
        for (number, value) in values.into_iter().enumerate() {
            let record = decode(position(), TimestampMs(5), damaged(None, Some(value)));
            let whose = (record.headers.request_id(), record.headers.tenant());
            let expected = (Some(request.request_id.clone()), Some(request.tenant.clone()));
            assert_eq!(whose, expected, "value {number}");
            assert!(record.headers.get(header::DAMAGED).is_some(), "value {number}");
        }
        let line = BatchRequest {
            batch_id: "nightly".to_owned(),
            custom_id: "7".to_owned(),
            tenant: request.tenant.clone(),
            operation: request.operation,
            body: String::new(),
            deadline: None,
        };
        let line = damaged(None, Some(relay_schemas::encode(&line)));
        let headers = decode(position(), TimestampMs(5), line).headers;
        let name = (headers.text(header::BATCH_ID), headers.text(header::CUSTOM_ID));
        assert_eq!(name, (Some("nightly"), Some("7")));
        let nothing = damaged(None, Some(Bytes::from_static(b"a line of text")));
        let record = decode(position(), TimestampMs(5), nothing);
        assert_eq!(record.headers.iter().count(), 1);
    }
}
