//! What a line asks for: the request that it becomes, or the result and the access line of one that becomes none. Pure.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::{Headers, Outgoing, topics};
use relay_clock::millis;
use relay_schemas::{BatchRequest, BatchResult, Request, RequestId, TimestampMs, encode};

use super::name::{LineName, MOST_NAME_BYTES, is_name, key_of, name_of};
use crate::access::Access;
use crate::admission::request::{self, Rules};
use crate::ids;
use crate::refusal::Refusal;

/// What a line may ask for.
#[derive(Debug, Clone)]
pub struct LineRules {
    /// In its body.
    pub body: Arc<Rules>,
    /// Deadline of lines that set none; also the longest.
    pub window: Duration,
    /// The age at which a line ends whose turn has not come.
    pub longest_wait: Duration,
}

/// The access line of one that did not become a request. Of its names only what may be one: anything else is whatever its sender wrote, however
/// long.
pub fn access_of(name: LineName, line: Option<&BatchRequest>, refusal: &Refusal) -> Access {
    let LineName { tenant, line: named } = name;
    Access {
        line: Some(named).filter(|named| is_name(&named.batch_id) && is_name(&named.custom_id)),
        tenant: Some(tenant).filter(|tenant| ids::is_tenant(tenant.as_str())),
        operation: line.map(|line| line.operation),
        status: refusal.status,
        code: Some(refusal.code.clone()),
        ..Access::default()
    }
}

/// The request that a line asks for.
pub fn request_of(line: &BatchRequest, rules: &LineRules, now: TimestampMs) -> Result<Request, Refusal> {
    for (name, text) in [("batch_id", &line.batch_id), ("custom_id", &line.custom_id)] {
        if !is_name(text) {
            let message = format!("`{name}` must be 1 to {MOST_NAME_BYTES} bytes long");
            return Err(Refusal::invalid("invalid_value", Some(name), message));
        }
    }
    if !ids::is_tenant(line.tenant.as_str()) {
        let message =
            "`tenant` must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit";
        return Err(Refusal::invalid("invalid_tenant", Some("tenant"), message));
    }
    let parsed = rules.body.parse(line.operation, line.body.clone().into_bytes())?;
    let latest = now.plus_ms(millis(rules.window));
    let deadline = line.deadline.map_or(latest, |asked| asked.min(latest));
    let LineName { tenant, line } = name_of(line);
    Ok(request::of_line(line, &tenant, parsed, deadline, now))
}

/// Why a line ends whose turn has not come.
pub fn over() -> Refusal {
    let message = "the line waited for room for as long as a line may, and did not run; send it again once fewer lines wait";
    Refusal::new(504, "deadline_exceeded", message)
}

/// The result of a line that did not become a request.
pub fn result_of(name: LineName, refusal: &Refusal, now: TimestampMs) -> Outgoing {
    let LineName { tenant, line } = name;
    let key = key_of(&tenant, &line.batch_id);
    let headers = Headers::of_line(&tenant, &line);
    let result = BatchResult {
        tenant,
        batch_id: line.batch_id,
        custom_id: line.custom_id,
        request_id: RequestId::new(""),
        status_code: u32::from(refusal.status),
        body: refusal.body(),
        ended_at: now,
    };
    Outgoing::keyed(topics::BATCH_RESULTS, key, headers, encode(&result))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop here")]

    use relay_schemas::{Class, Operation, TenantId};

    use super::*;

    fn rules() -> LineRules {
        LineRules {
            body: Arc::default(),
            window: Duration::from_secs(1),
            longest_wait: Duration::from_secs(2),
        }
    }

    fn line(body: &str) -> BatchRequest {
        BatchRequest {
            batch_id: "nightly".to_owned(),
            custom_id: "7".to_owned(),
            tenant: "acme".into(),
            operation: Operation::Chat,
            body: body.to_owned(),
            deadline: None,
        }
    }

    const GOOD: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}],"stream":true}"#;

    #[test]
    fn a_line_becomes_the_request_that_http_would_have_made_of_it() {
        let request = request_of(&line(GOOD), &rules(), TimestampMs(5)).unwrap();
        let http = Rules::default().parse(Operation::Chat, GOOD.into()).unwrap();
        assert_eq!(
            (request.body.as_str(), request.request_hash),
            (GOOD, http.request_hash)
        );
        assert_eq!(
            (request.class, request.stream, request.reply_to),
            (Class::Batch, false, None)
        );
        assert_eq!(request.deadline, TimestampMs(1_005));
    }

    #[test]
    fn the_same_line_is_the_same_request_and_another_line_another() {
        let id = |custom: &str| {
            let line = BatchRequest {
                custom_id: custom.to_owned(),
                ..line(GOOD)
            };
            request_of(&line, &rules(), TimestampMs(5)).unwrap().request_id
        };
        assert_eq!(id("7"), id("7"));
        assert_ne!(id("7"), id("8"));
    }

    #[test]
    fn a_deadline_may_only_shorten_the_window() {
        let deadline = |asked| {
            let line = BatchRequest {
                deadline: Some(TimestampMs(asked)),
                ..line(GOOD)
            };
            request_of(&line, &rules(), TimestampMs(5)).unwrap().deadline.0
        };
        assert_eq!((deadline(900), deadline(9_000)), (900, 1_005));
    }

    #[test]
    fn a_line_says_its_operation() {
        let line = BatchRequest {
            operation: Operation::Embedding,
            ..line(r#"{"model":"mini","input":"a"}"#)
        };
        let request = request_of(&line, &rules(), TimestampMs(5)).unwrap();
        assert_eq!(request.operation, Operation::Embedding);
        let chat = BatchRequest {
            operation: Operation::Chat,
            ..line
        };
        let refusal = request_of(&chat, &rules(), TimestampMs(5)).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("messages"));
    }

    #[test]
    fn the_access_line_of_a_refused_line_has_no_name_that_was_refused() {
        let access = |line: &BatchRequest| {
            let refusal = request_of(line, &rules(), TimestampMs(5)).unwrap_err();
            let access = access_of(name_of(line), Some(line), &refusal);
            (access.line, access.tenant, access.code)
        };
        let invalid = |code: &str| Some(code.to_owned());
        let (acme, long) = (Some(TenantId::new("acme")), "a secret ".repeat(100 * 1_024 / 9));
        let custom = BatchRequest {
            custom_id: long.clone(),
            ..line(GOOD)
        };
        assert_eq!(access(&custom), (None, acme.clone(), invalid("invalid_value")));
        let batch = BatchRequest {
            batch_id: long.clone(),
            ..line(GOOD)
        };
        assert_eq!(access(&batch), (None, acme.clone(), invalid("invalid_value")));
        let tenant = BatchRequest {
            tenant: TenantId::new(long),
            ..line(GOOD)
        };
        let named = Some(name_of(&tenant).line);
        assert_eq!(access(&tenant), (named.clone(), None, invalid("invalid_tenant")));
        assert_eq!(access(&line("{")), (named, acme, invalid("invalid_json")));
    }

    #[test]
    fn a_bad_line_says_why() {
        let code = |line: BatchRequest| request_of(&line, &rules(), TimestampMs(5)).unwrap_err().code;
        assert_eq!(code(line("{")), "invalid_json");
        assert_eq!(code(line("{}")), "missing_required_parameter");
        let tenant = BatchRequest {
            tenant: "no good".into(),
            ..line(GOOD)
        };
        assert_eq!(code(tenant), "invalid_tenant");
        let unnamed = BatchRequest {
            custom_id: String::new(),
            ..line(GOOD)
        };
        assert_eq!(code(unnamed), "invalid_value");
    }
}
