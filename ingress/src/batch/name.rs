//! What the sender calls a line. Pure.

use relay_bus::{Headers, Record, header};
use relay_schemas::{BatchRef, BatchRequest};

/// Longest name of a batch or line.
pub const MOST_NAME_BYTES: usize = 256;

/// Whether `text` may name a batch or a line.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_NAME_BYTES
}

/// The name of a line that was read.
pub fn name_of(line: &BatchRequest) -> BatchRef {
    BatchRef {
        batch_id: line.batch_id.clone(),
        custom_id: line.custom_id.clone(),
    }
}

/// The name of a line whose value cannot be read, where its sender set it outside of the value.
pub fn name_in(record: &Record) -> Option<BatchRef> {
    let key = || {
        record
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok())
    };
    let headers = &record.headers;
    of(
        headers.text(header::BATCH_ID).or_else(key),
        headers.text(header::CUSTOM_ID),
    )
}

/// The line that an outcome belongs to, where the outcome itself does not say.
pub fn name_in_headers(headers: &Headers) -> Option<BatchRef> {
    of(headers.text(header::BATCH_ID), headers.text(header::CUSTOM_ID))
}

fn of(batch_id: Option<&str>, custom_id: Option<&str>) -> Option<BatchRef> {
    let named = |text: &&str| is_name(text);
    Some(BatchRef {
        batch_id: batch_id.filter(named)?.to_owned(),
        custom_id: custom_id.filter(named)?.to_owned(),
    })
}
