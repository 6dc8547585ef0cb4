//! Records as librdkafka has them, and back. Pure.

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use relay_schemas::{Payload, TimestampMs};

use crate::headers::name_of;
use crate::{Headers, Outgoing, Partition, Position, Record};

/// What Kafka adds to a record inside its batch, roughly and rather too much; topics are made larger by it, so that our
/// limits mean key, headers and value.
pub(super) const OVERHEAD: usize = 1_024;

/// A record as read.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let copied = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let header =
        |header: Header<'_, &[u8]>| (name_of(header.key), header.value.map_or_else(Bytes::new, copied));
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(header).collect());
    Record {
        position: Position {
            partition: Partition::new(message.topic(), message.partition()),
            offset: message.offset(),
        },
        timestamp: TimestampMs(message.timestamp().to_millis().unwrap_or(0)),
        key: message.key().map(copied),
        headers: headers.unwrap_or_default(),
        value: message.payload().map(copied).map(Payload::from),
    }
}

/// Headers on their way out.
pub(super) fn headers(headers: &Headers) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new(), |owned, (key, value)| {
        owned.insert(Header {
            key,
            value: Some(&value[..]),
        })
    })
}

/// Bytes of key, headers and value.
pub(super) fn size(outgoing: &Outgoing) -> usize {
    let headers: usize = outgoing
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let key = outgoing.key.as_ref().map_or(0, Bytes::len);
    key + outgoing.value.as_deref().map_or(0, <[u8]>::len) + headers
}
