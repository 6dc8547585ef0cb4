//! What the headers of a call say.

use axum::http::{HeaderMap, HeaderValue, header};
use relay_bus::valid_traceparent;
use relay_clock::millis;
use relay_schemas::TenantId;

use super::state::Deadlines;
use crate::admission::request::Call;
use crate::ids;
use crate::refusal::Refusal;

/// Names the tenant, until API keys exist.
const TENANT: &str = "x-tenant-id";
/// Milliseconds from now.
const DEADLINE: &str = "x-relay-deadline-ms";
/// Repeats under one key meet the same request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// W3C trace context.
const TRACEPARENT: &str = "traceparent";

/// How much of a key's hash stands for it.
const KEY_NAME_LENGTH: usize = 12;

/// Longest idempotency key.
const MOST_KEY_BYTES: usize = 255;

/// The one value of a header; `None` where it is not sent. Two are a mistake, also where they agree: proxies and
/// libraries differ in whether they take the first or the last.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first),
        _ => Err(Refusal::invalid(
            "repeated_header",
            Some(name),
            format!("`{name}` stands more than once; send it once"),
        )),
    }
}

/// The tenant that asks; `default` where the headers do not say.
pub fn tenant(headers: &HeaderMap) -> Result<TenantId, Refusal> {
    match one(headers, TENANT)? {
        None => Ok(TenantId::new("default")),
        Some(value) => match value.to_str() {
            Ok(name) if ids::is_tenant(name) => Ok(TenantId::new(name)),
            _ => Err(Refusal::invalid(
                "invalid_tenant",
                Some("X-Tenant-Id"),
                "`X-Tenant-Id` must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit",
            )),
        },
    }
}

/// What stands for the API key that was sent: the beginning of its hash, which cannot be turned back. Keys have no names yet.
pub fn key_name(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(header::AUTHORIZATION)?.as_bytes();
    let mut hash = ids::sha256_hex(&[sent.trim_ascii()]);
    hash.truncate(KEY_NAME_LENGTH);
    Some(hash)
}

/// The call of `tenant`.
pub fn call(headers: &HeaderMap, tenant: TenantId, deadlines: Deadlines) -> Result<Call, Refusal> {
    Ok(Call {
        tenant,
        deadline_ms: deadline_ms(headers, deadlines)?,
        key: key(headers)?,
        traceparent: one(headers, TRACEPARENT)?
            .and_then(|value| value.to_str().ok())
            .and_then(valid_traceparent),
    })
}

fn deadline_ms(headers: &HeaderMap, deadlines: Deadlines) -> Result<i64, Refusal> {
    let Some(value) = one(headers, DEADLINE)? else {
        return Ok(millis(deadlines.default.min(deadlines.longest)));
    };
    let asked = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok());
    match asked {
        Some(asked) if asked > 0 => Ok(asked.min(millis(deadlines.longest))),
        _ => Err(Refusal::invalid(
            "invalid_deadline",
            Some(DEADLINE),
            format!("`{DEADLINE}` must be a whole number of milliseconds from now, at least 1"),
        )),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = one(headers, IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let is_printable = |key: &&str| key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match value.to_str().ok().filter(is_printable) {
        Some(key) if !key.is_empty() && key.len() <= MOST_KEY_BYTES => Ok(Some(key.to_owned())),
        _ => Err(Refusal::invalid(
            "invalid_idempotency_key",
            Some("Idempotency-Key"),
            format!(
                "`Idempotency-Key` must be 1 to {MOST_KEY_BYTES} printable ASCII characters, a space to `~`"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use std::time::Duration;

    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &'static str, value: &'static [u8]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).unwrap())])
    }

    fn read(headers: &HeaderMap) -> Result<Call, Refusal> {
        let deadlines = Deadlines {
            default: Duration::from_mins(2),
            longest: Duration::from_mins(10),
        };
        call(headers, TenantId::new("default"), deadlines)
    }

    #[test]
    fn the_deadline_is_what_was_asked_but_no_more_than_allowed() {
        let asked = |value| read(&headers(DEADLINE, value)).map(|call| call.deadline_ms);
        assert_eq!(read(&HeaderMap::new()).unwrap().deadline_ms, 120_000);
        assert_eq!(asked(b"1500").unwrap(), 1_500);
        assert_eq!(asked(b"999999999").unwrap(), 600_000);
        for bad in [
            &b"0"[..],
            b"-5",
            b"1.5",
            b"soon",
            b"",
            b"\xff",
            b"99999999999999999999",
        ] {
            assert_eq!(asked(bad).unwrap_err().code, "invalid_deadline", "{bad:?}");
        }
    }

    #[test]
    fn a_bad_tenant_is_refused_and_an_absent_one_is_the_default() {
        assert_eq!(tenant(&HeaderMap::new()).unwrap(), TenantId::new("default"));
        assert_eq!(
            tenant(&headers(TENANT, b"team-7")).unwrap(),
            TenantId::new("team-7")
        );
        for bad in [&b""[..], b"a b", b"\xff", b"../x"] {
            let refusal = tenant(&headers(TENANT, bad)).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str()),
                (400, "invalid_tenant"),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_idempotency_key_is_short_and_printable_and_counts_as_it_is_sent() {
        let key = |value| read(&headers(IDEMPOTENCY_KEY, value)).map(|call| call.key);
        assert_eq!(key(b"order 66").unwrap().as_deref(), Some("order 66"));
        assert_eq!(key(b"\"order 66\"").unwrap().as_deref(), Some("\"order 66\""));
        assert_eq!(key(&[b'~'; 255]).unwrap().map(|key| key.len()), Some(255));
        assert!(key(b"order\t66").is_err());
        assert!(key(b"").is_err());
        assert!(key(&[b'x'; 256]).is_err());
        assert!(key(b"\xf0\x9f").is_err());
    }

    #[test]
    fn a_traceparent_that_is_none_is_ignored() {
        let sent = |value| read(&headers(TRACEPARENT, value)).map(|call| call.traceparent);
        assert_eq!(sent(&[b'z'; 55]).unwrap(), None);
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(sent(valid.as_bytes()).unwrap().as_deref(), Some(valid));
    }

    #[test]
    fn a_header_that_is_read_once_must_not_stand_twice() {
        for name in [TENANT, DEADLINE, IDEMPOTENCY_KEY, TRACEPARENT] {
            let mut twice = headers(name, b"1");
            twice.append(name, HeaderValue::from_static("1"));
            let refusal = tenant(&twice).and_then(|_| read(&twice)).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str(), refusal.param.as_deref()),
                (400, "repeated_header", Some(name))
            );
        }
    }
}
