//! What a line is called: by its tenant, its batch and itself. Pure.

use relay_bus::{Headers, Record, header};
use relay_schemas::{BatchRef, BatchRequest, TenantId};

use crate::ids::is_tenant;

/// Longest name of a batch or line.
pub const MOST_NAME_BYTES: usize = 256;

/// A line's whole name: two tenants may call a batch and its lines the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineName {
    /// Whose line it is.
    pub tenant: TenantId,
    /// Its name among those of that tenant.
    pub line: BatchRef,
}

/// Whether `text` may name a batch or a line.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MOST_NAME_BYTES
}

/// The key of records of a batch. A tenant's name holds no `/`.
pub fn key_of(tenant: &TenantId, batch_id: &str) -> String {
    format!("{tenant}/{batch_id}")
}

/// The name of a line that was read.
pub fn name_of(line: &BatchRequest) -> LineName {
    LineName {
        tenant: line.tenant.clone(),
        line: BatchRef {
            batch_id: line.batch_id.clone(),
            custom_id: line.custom_id.clone(),
        },
    }
}

/// The name of a line whose value cannot be read, where its sender set it outside of the value.
pub fn name_in(record: &Record) -> Option<LineName> {
    let headers = &record.headers;
    let tenant = headers.tenant().filter(|tenant| is_tenant(tenant.as_str()))?;
    let key = || {
        let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
        let batch_id = key
            .strip_prefix(tenant.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        Some(batch_id.unwrap_or(key))
    };
    let batch_id = headers.text(header::BATCH_ID).or_else(key);
    let line = of(batch_id, headers.text(header::CUSTOM_ID))?;
    Some(LineName { tenant, line })
}

/// Whether the sender of a line that cannot be read is told so.
pub fn is_told(record: &Record) -> bool {
    name_in(record).is_some()
}

/// The line that an outcome belongs to, where the outcome itself does not say.
pub fn line_in_headers(headers: &Headers) -> Option<BatchRef> {
    of(headers.text(header::BATCH_ID), headers.text(header::CUSTOM_ID))
}

fn of(batch_id: Option<&str>, custom_id: Option<&str>) -> Option<BatchRef> {
    let named = |text: &&str| is_name(text);
    Some(BatchRef {
        batch_id: batch_id.filter(named)?.to_owned(),
        custom_id: custom_id.filter(named)?.to_owned(),
    })
}
