//! What a client is told when it gets no answer: the `OpenAI` error body, and the HTTP status chosen here and nowhere else.
//!
//! The table of codes is in [`of_end`]. Pure.

use relay_lifecycle::Broken;
use relay_schemas::{Final, OutcomeStatus};
use serde_json::json;

use crate::accept::Accepted;
use crate::slot::End;

/// An error on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error.type`.
    pub kind: &'static str,
    /// `error.code`.
    pub code: String,
    /// `error.message`; holds nothing of the request's content.
    pub message: String,
    /// `error.param`: the path of the field that is wrong.
    pub param: Option<String>,
    /// `Retry-After`, milliseconds.
    pub retry_after_ms: Option<i64>,
    /// `x-should-retry: false`, for clients that would repeat by themselves what may have run.
    pub never_retry: bool,
}

const INVALID: &str = "invalid_request_error";
const LIMIT: &str = "rate_limit_error";
const SERVER: &str = "server_error";

impl Refusal {
    fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        let kind = match status {
            429 => LIMIT,
            400..=498 => INVALID,
            _ => SERVER,
        };
        Self {
            status,
            kind,
            code: code.to_owned(),
            message: message.into(),
            param: None,
            retry_after_ms: None,
            never_retry: false,
        }
    }

    /// 400: the client must mend its request.
    pub fn invalid(code: &str, param: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            param: param.map(str::to_owned),
            ..Self::new(400, code, message)
        }
    }

    /// 400: a field of the wrong type.
    pub fn wrong_type(path: &str, expected: &str, found: &str) -> Self {
        Self::invalid(
            "invalid_type",
            Some(path),
            format!("`{path}` must be {expected}, got {found}"),
        )
    }

    /// 404: no such address.
    pub fn unknown_route() -> Self {
        Self::new(
            404,
            "unknown_url",
            "there is nothing at this address; see /v1/chat/completions and /v1/models",
        )
    }

    /// 405: the address exists, the method does not.
    pub fn wrong_method() -> Self {
        Self::new(
            405,
            "method_not_allowed",
            "this address does not take this method",
        )
    }

    /// 408: the body did not arrive in time.
    pub fn slow_body(limit_ms: u64) -> Self {
        Self::new(
            408,
            "request_timeout",
            format!("the body did not arrive within {limit_ms} ms"),
        )
    }

    /// 409: one key, two bodies.
    pub fn key_reused() -> Self {
        Self {
            never_retry: true,
            ..Self::new(
                409,
                "idempotency_key_reused",
                "this `Idempotency-Key` was used with another body; use a new key for a new request",
            )
        }
    }

    /// 413: the body is too large.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            413,
            "request_too_large",
            format!("the request is larger than the {limit} bytes allowed; shorten the conversation"),
        )
    }

    /// 429: too many at once.
    pub fn busy(message: &str, retry_after_ms: i64) -> Self {
        Self {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(429, "too_many_in_flight", message)
        }
    }

    /// 503: nothing was accepted, so asking again is safe.
    pub fn unavailable(what: &str, retry_after_ms: i64) -> Self {
        Self {
            retry_after_ms: Some(retry_after_ms),
            ..Self::new(
                503,
                "service_unavailable",
                format!("{what}; nothing was accepted, ask again"),
            )
        }
    }

    /// 500: the house's own mistake, before anything was accepted.
    pub fn internal() -> Self {
        Self::new(
            500,
            "internal_error",
            "the request could not be accepted; the log says why",
        )
    }

    /// 503: the log never said whether it took the request.
    pub fn unknown_result(keyed: bool) -> Self {
        let advice = if keyed {
            "ask again with the same `Idempotency-Key` to get the recorded answer"
        } else {
            "it may have run; send an `Idempotency-Key` to be able to ask again safely"
        };
        Self {
            never_retry: !keyed,
            ..Self::new(
                503,
                "unknown_result",
                format!("it is unknown whether the request was accepted, and it was cancelled; {advice}"),
            )
        }
    }

    /// 504: accepted, but no end was heard of in time.
    pub fn no_answer(keyed: bool) -> Self {
        Self {
            never_retry: !keyed,
            ..Self::new(504, "deadline_exceeded", "no answer came before the deadline")
        }
    }

    /// The error body, `{"error": {…}}`.
    pub fn body(&self) -> String {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
        .to_string()
    }

    /// `Retry-After` in whole seconds, at least one.
    pub fn retry_after_s(&self) -> Option<i64> {
        self.retry_after_ms.map(|ms| (ms + 999).max(1_000) / 1_000)
    }
}

/// What a client is told of a request that was accepted and did not succeed.
///
/// A repeat could run twice, so it is discouraged; not so after a rejection, which never ran. Under an idempotency key a
/// repeat would be safe, but the end is recorded and would only be told again.
fn of_end(end: &Final, keyed: bool) -> Refusal {
    let code = end.code.as_deref().unwrap_or(default_code(end.status));
    let message = end
        .message
        .clone()
        .unwrap_or_else(|| default_message(end.status).to_owned());
    let rejected = end.status == OutcomeStatus::Rejected;
    Refusal {
        retry_after_ms: end.retry_after_ms.or(rejected.then_some(1_000)),
        never_retry: keyed || !rejected,
        ..Refusal::new(http_status(end.status, code), code, message)
    }
}

/// What a client is told of an end that is no success.
pub fn of(end: &End, keyed: bool) -> Refusal {
    match end {
        End::Finished { end, .. } => of_end(end, keyed),
        End::Broken(broken) => of_broken(*broken),
    }
}

/// What a client is told when no end was heard of.
pub fn timed_out(accepted: Accepted, keyed: bool) -> Refusal {
    match accepted {
        Accepted::Yes => Refusal::no_answer(keyed),
        Accepted::Unknown => Refusal::unknown_result(keyed),
    }
}

/// What a client is told of an answer that cannot be finished truthfully.
fn of_broken(broken: Broken) -> Refusal {
    let (code, message) = match broken {
        Broken::Diverged => (
            "answer_diverged",
            "another run of this request was recorded than the one shown; what was shown is void",
        ),
        Broken::Unavailable => (
            "answer_unavailable",
            "the request ended, but its text was too large to be recorded and is no longer held",
        ),
    };
    Refusal {
        never_retry: true,
        ..Refusal::new(500, code, message)
    }
}

/// The HTTP status of an end that is no success.
fn http_status(status: OutcomeStatus, code: &str) -> u16 {
    match code {
        "model_not_found" => 404,
        "no_plan" | "invalid_request" | "context_length_exceeded" => 400,
        "deadline_exceeded" => 504,
        "queue_full" | "tenant_queue_full" => 429,
        "worker_lost" | "backend_unavailable" => 503,
        "unknown_pool" | "dead_letter" => 500,
        "backend_error" => 502,
        "cancelled" => 499,
        _ => match status {
            OutcomeStatus::Rejected => 429,
            OutcomeStatus::Expired => 504,
            OutcomeStatus::Cancelled => 499,
            OutcomeStatus::Refused => 400,
            OutcomeStatus::Failed | OutcomeStatus::Completed | OutcomeStatus::Cached => 500,
        },
    }
}

const fn default_code(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Rejected => "queue_full",
        OutcomeStatus::Expired => "deadline_exceeded",
        OutcomeStatus::Cancelled => "cancelled",
        OutcomeStatus::Refused => "invalid_request",
        OutcomeStatus::Failed | OutcomeStatus::Completed | OutcomeStatus::Cached => "internal_error",
    }
}

const fn default_message(status: OutcomeStatus) -> &'static str {
    match status {
        OutcomeStatus::Rejected => "too many requests are waiting",
        OutcomeStatus::Expired => "the deadline passed",
        OutcomeStatus::Cancelled => "the request was cancelled",
        OutcomeStatus::Refused => "the request was refused",
        OutcomeStatus::Failed | OutcomeStatus::Completed | OutcomeStatus::Cached => "the request failed",
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::Usage;

    use super::*;

    fn ended(status: OutcomeStatus, code: Option<&str>) -> Final {
        Final {
            status,
            code: code.map(str::to_owned),
            message: None,
            finish_reason: None,
            model: String::new(),
            usage: Usage::default(),
            retry_after_ms: None,
        }
    }

    #[test]
    fn every_code_has_its_status() {
        use OutcomeStatus as O;
        let table = [
            (O::Failed, Some("model_not_found"), 404, "invalid_request_error"),
            (O::Failed, Some("no_plan"), 400, "invalid_request_error"),
            (O::Failed, Some("invalid_request"), 400, "invalid_request_error"),
            (
                O::Failed,
                Some("context_length_exceeded"),
                400,
                "invalid_request_error",
            ),
            (O::Expired, Some("deadline_exceeded"), 504, "server_error"),
            (O::Rejected, Some("queue_full"), 429, "rate_limit_error"),
            (O::Rejected, Some("tenant_queue_full"), 429, "rate_limit_error"),
            (O::Failed, Some("worker_lost"), 503, "server_error"),
            (O::Failed, Some("unknown_pool"), 500, "server_error"),
            (O::Failed, Some("backend_error"), 502, "server_error"),
            (O::Failed, Some("backend_unavailable"), 503, "server_error"),
            (O::Failed, Some("dead_letter"), 500, "server_error"),
            (O::Cancelled, Some("cancelled"), 499, "server_error"),
            (O::Failed, Some("a_code_of_a_later_version"), 500, "server_error"),
            (O::Rejected, None, 429, "rate_limit_error"),
            (O::Expired, None, 504, "server_error"),
            (O::Cancelled, None, 499, "server_error"),
            (O::Failed, None, 500, "server_error"),
        ];
        for (status, code, http, kind) in table {
            let refusal = of_end(&ended(status, code), false);
            assert_eq!(
                (refusal.status, refusal.kind),
                (http, kind),
                "{status:?} {code:?}"
            );
        }
    }

    #[test]
    fn only_what_never_ran_may_be_repeated_by_itself() {
        let rejected = ended(OutcomeStatus::Rejected, Some("queue_full"));
        assert!(!of_end(&rejected, false).never_retry);
        assert_eq!(of_end(&rejected, false).retry_after_s(), Some(1));
        assert!(
            of_end(&rejected, true).never_retry,
            "the rejection is recorded under the key"
        );
        assert!(of_end(&ended(OutcomeStatus::Failed, None), false).never_retry);
        assert!(Refusal::unknown_result(false).never_retry);
        assert!(!Refusal::unknown_result(true).never_retry);
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_500, 3)] {
            assert_eq!(Refusal::busy("", ms).retry_after_s(), Some(seconds), "{ms} ms");
        }
    }
}
