//! An epoch's summary: which offsets of which partitions it holds, so that opening the log need not read its records.

use std::sync::Arc;

use bytes::{Buf, BufMut};

use super::keys::Slot;
use super::partition::PartitionLog;
use super::retain::Span;

/// The spans of `epoch` in the partitions that it touched.
pub(super) fn encode<'a>(touched: impl Iterator<Item = &'a Arc<PartitionLog>>, epoch: u32) -> Vec<u8> {
    let spans: Vec<(Slot, Span)> = touched
        .filter_map(|log| {
            Some((
                log.slot,
                *log.lock().spans.iter().rev().find(|span| span.epoch == epoch)?,
            ))
        })
        .collect();
    encode_spans(&spans)
}

pub(super) fn encode_spans(spans: &[(Slot, Span)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(spans.len() * 36);
    for (slot, span) in spans {
        bytes.put_u32(*slot);
        bytes.put_i64(span.first);
        bytes.put_i64(span.end);
        bytes.put_u64(span.bytes);
        bytes.put_i64(span.newest_ms);
    }
    bytes
}

pub(super) fn decode(mut bytes: &[u8], epoch: u32) -> Option<Vec<(Slot, Span)>> {
    let mut spans = Vec::with_capacity(bytes.len() / 36);
    while bytes.has_remaining() {
        let slot = bytes.try_get_u32().ok()?;
        spans.push((
            slot,
            Span {
                epoch,
                first: bytes.try_get_i64().ok()?,
                end: bytes.try_get_i64().ok()?,
                bytes: bytes.try_get_u64().ok()?,
                newest_ms: bytes.try_get_i64().ok()?,
            },
        ));
    }
    Some(spans)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spans_come_back_as_they_were_and_cut_bytes_are_noticed() {
        let span = Span {
            epoch: 7,
            first: 10,
            end: 20,
            bytes: 30,
            newest_ms: 40,
        };
        let spans = vec![(1, span), (65_536, Span { first: 0, ..span })];
        let bytes = encode_spans(&spans);
        assert_eq!(decode(&bytes, 7).unwrap(), spans);
        assert!(decode(&bytes[..bytes.len() - 1], 7).is_none());
    }
}
