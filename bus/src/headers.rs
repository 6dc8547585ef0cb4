//! The headers of a record, which must be readable even when its body is not.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use relay_schemas::{
    BatchRef, BatchRequest, Outcome, Planned, Ready, Request, RequestId, TenantId, TimestampMs, Work, decode,
};

/// Record headers, in order: what every stage must be able to read when the body cannot be read. Those of a record and of its clones
/// are one, until one of them is given another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Arc<Vec<(Cow<'static, str>, Bytes)>>);

/// Names of the headers that Relay writes.
pub mod header {
    /// Whose life this record belongs to.
    pub const REQUEST_ID: &str = "relay-request-id";
    /// The tenant.
    pub const TENANT: &str = "relay-tenant";
    /// Control-seam subject of the ingress that waits.
    pub const REPLY_TO: &str = "relay-reply-to";
    /// The lease's attempt, decimal.
    pub const ATTEMPT: &str = "relay-attempt";
    /// Milliseconds since 1970, decimal.
    pub const DEADLINE: &str = "relay-deadline";
    /// The batch that a line belongs to; on `relay.batch.requests.v1`, without it, the record's key after `tenant/`.
    pub const BATCH_ID: &str = "relay-batch-id";
    /// The line within its batch.
    pub const CUSTOM_ID: &str = "relay-custom-id";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// CRC-32 (IEEE) of the value, eight hexadecimal digits; a value that does not match it is poison.
    pub const CRC32: &str = "relay-crc32";
    /// On a record that an operator put back where it lay: the dead letter that stood for it, as `relay.dead-letters.v1/0/17`.
    pub const RESENT: &str = "relay-resent";
    /// Beside it: where the record lay when it was written, as `relay.outcomes.v1/3/800`.
    pub const RESENT_FROM: &str = "relay-resent-from";
    /// Set by the bus itself on a record that is not as it was written: where it lies. Its value is poison.
    pub const DAMAGED: &str = "relay-damaged";

    /// All of them.
    pub(super) const ALL: [&str; 12] = [
        REQUEST_ID,
        TENANT,
        REPLY_TO,
        ATTEMPT,
        DEADLINE,
        BATCH_ID,
        CUSTOM_ID,
        TRACEPARENT,
        CRC32,
        RESENT,
        RESENT_FROM,
        DAMAGED,
    ];
}

/// A header's name as it was read; no copy where it is one of Relay's own.
pub(crate) fn name_of(read: &str) -> Cow<'static, str> {
    let known = header::ALL.into_iter().find(|known| *known == read);
    known.map_or_else(|| Cow::Owned(read.to_owned()), Cow::Borrowed)
}

impl Headers {
    /// The headers that every record of this request carries.
    pub fn of(request: &Request) -> Self {
        let mut headers = Self::default();
        headers.set(header::REQUEST_ID, request.request_id.as_str().to_owned());
        headers.set(header::TENANT, request.tenant.as_str().to_owned());
        headers.set(header::DEADLINE, request.deadline.0.to_string());
        if let Some(reply_to) = &request.reply_to {
            headers.set(header::REPLY_TO, reply_to.clone());
        }
        if let Some(line) = &request.batch {
            headers.set(header::BATCH_ID, line.batch_id.clone());
            headers.set(header::CUSTOM_ID, line.custom_id.clone());
        }
        headers
    }

    /// The headers that name a batch line which is no request.
    pub fn of_line(tenant: &TenantId, line: &BatchRef) -> Self {
        let mut headers = Self::default();
        headers.set(header::TENANT, tenant.as_str().to_owned());
        headers.set(header::BATCH_ID, line.batch_id.clone());
        headers.set(header::CUSTOM_ID, line.custom_id.clone());
        headers
    }

    /// Whose record `value` is, where it is a batch line, a request on its way or an outcome: what stands for headers that are
    /// lost. Those that say more than whose it is (its trace, its attempt) are not made up, and another version's value is not read.
    pub(crate) fn of_value(value: &[u8]) -> Option<Self> {
        let request = decode::<Request>(value)
            .map(Arc::new)
            .or_else(|_| decode::<Planned>(value).map(|planned| planned.request))
            .or_else(|_| decode::<Ready>(value).map(|ready| ready.request))
            .or_else(|_| decode::<Work>(value).map(|work| work.request));
        if let Ok(request) = request {
            return Some(Self::of(&request));
        }
        if let Ok(line) = decode::<BatchRequest>(value) {
            let BatchRequest {
                tenant,
                batch_id,
                custom_id,
                ..
            } = line;
            return Some(Self::of_line(&tenant, &BatchRef { batch_id, custom_id }));
        }
        let outcome = decode::<Outcome>(value).ok()?;
        let mut headers = outcome.request.as_deref().map(Self::of).unwrap_or_default();
        headers.set(header::REQUEST_ID, outcome.request_id.as_str().to_owned());
        headers.set(header::TENANT, outcome.tenant.as_str().to_owned());
        Some(headers)
    }

    /// Sets `name`, replacing an earlier value.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Bytes>) {
        let name = name.into();
        let all = Arc::make_mut(&mut self.0);
        all.retain(|(existing, _)| *existing != name);
        all.push((name, value.into()));
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(existing, _)| *existing == name)
            .map(|(_, value)| value)
    }

    /// The value of `name` as text; `None` also where it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The request this record belongs to, if the header is readable and not absurd.
    pub fn request_id(&self) -> Option<RequestId> {
        self.text(header::REQUEST_ID)
            .filter(|id| !id.is_empty() && id.len() <= 128)
            .map(RequestId::new)
    }

    /// The tenant, likewise.
    pub fn tenant(&self) -> Option<TenantId> {
        self.text(header::TENANT)
            .filter(|id| !id.is_empty() && id.len() <= 128)
            .map(TenantId::new)
    }

    /// The deadline, likewise.
    pub fn deadline(&self) -> Option<TimestampMs> {
        self.text(header::DEADLINE)
            .and_then(|text| text.parse().ok())
            .map(TimestampMs)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl<N: Into<Cow<'static, str>>> FromIterator<(N, Bytes)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, Bytes)>>(pairs: I) -> Self {
        let named = pairs.into_iter().map(|(name, value)| (name.into(), value));
        Self(Arc::new(named.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clone_is_given_the_others_do_not_have() {
        let mut headers = Headers::default();
        headers.set(header::TENANT, "acme");
        let mut resent = headers.clone();
        resent.set(header::RESENT, "there");
        resent.set(header::TENANT, "other");
        assert_eq!(
            (headers.text(header::TENANT), headers.text(header::RESENT)),
            (Some("acme"), None)
        );
        let all: Vec<_> = resent.iter().map(|(name, _)| name).collect();
        assert_eq!(all, [header::RESENT, header::TENANT]);
    }

    #[test]
    fn the_name_of_a_header_that_relay_writes_is_not_copied() {
        let declared = include_str!("headers.rs").matches("\n    pub const ").count();
        assert_eq!(header::ALL.len(), declared, "a new one belongs into the list");
        for name in header::ALL {
            assert!(matches!(name_of(name), Cow::Borrowed(known) if known == name));
        }
        assert!(matches!(name_of("x-other"), Cow::Owned(other) if other == "x-other"));
    }
}
