//! An error on its way to a client, and its `OpenAI` body. Pure.

use std::time::Duration;

use relay_api::Invalid;
use relay_api::error::ErrorBody;
use relay_clock::millis;

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

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.code, invalid.param.as_deref(), invalid.message)
    }
}

impl Refusal {
    /// An error of that status; its `type` follows from it.
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
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

    /// 404: no such address.
    pub fn unknown_route() -> Self {
        Self::new(
            404,
            "unknown_url",
            "there is nothing at this address; see /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/models",
        )
    }

    /// 404: no model of that name can be asked for now.
    pub fn no_such_model(name: &str) -> Self {
        let name = name.get(..128).unwrap_or(name);
        Self {
            param: Some("model".to_owned()),
            ..Self::new(
                404,
                "model_not_found",
                format!("the model `{name}` does not exist, or no worker runs it now; see /v1/models"),
            )
        }
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
    pub fn slow_body(limit: Duration) -> Self {
        Self::new(
            408,
            "request_timeout",
            format!("the body did not arrive within {} ms", limit.as_millis()),
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
    pub fn busy(code: &str, message: &str, retry_after: Duration) -> Self {
        Self {
            retry_after_ms: Some(millis(retry_after)),
            ..Self::new(429, code, message)
        }
    }

    /// 503: nothing was accepted, so asking again is safe.
    pub fn unavailable(what: &str, retry_after: Duration) -> Self {
        Self {
            retry_after_ms: Some(millis(retry_after)),
            ..Self::new(
                503,
                "service_unavailable",
                format!("{what}; nothing was accepted, ask again"),
            )
        }
    }

    /// 503: whether the key was used before cannot be told now. Nothing was accepted, so asking again is safe.
    pub fn key_unknown(retry_after: Duration) -> Self {
        Self {
            retry_after_ms: Some(millis(retry_after)),
            ..Self::new(
                503,
                "idempotency_unavailable",
                "whether this `Idempotency-Key` was used before cannot be told now: no trace sink answers, or its tables are \
                 away or being rebuilt; nothing was accepted, ask again with the same key",
            )
        }
    }

    /// 507: what is left of the disk is kept for what was accepted before.
    pub fn insufficient_storage(retry_after: Duration) -> Self {
        Self {
            retry_after_ms: Some(millis(retry_after)),
            ..Self::new(
                507,
                "insufficient_storage",
                "the gateway's disk is nearly full; nothing was accepted, ask again once there is room",
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

    /// 503: this gateway ends before the request does.
    pub fn shut_down(keyed: bool) -> Self {
        let (advice, retry_after_ms) = if keyed {
            (
                "ask again with the same `Idempotency-Key` to get its answer",
                Some(1_000),
            )
        } else {
            (
                "it may have run; send an `Idempotency-Key` to be able to ask again safely",
                None,
            )
        };
        Self {
            retry_after_ms,
            never_retry: !keyed,
            ..Self::new(
                503,
                "shutting_down",
                format!("this gateway shuts down and could not wait for the end of the request; {advice}"),
            )
        }
    }

    /// 503: whether the request ended before, under its idempotency key, only the tables know.
    pub fn untold() -> Self {
        Self {
            retry_after_ms: Some(5_000),
            ..Self::new(
                503,
                "unknown_result",
                "what this request came to cannot be told now: the tables that hold what was recorded under idempotency keys are away or \
                 being rebuilt; nothing is lost, so ask again with the same `Idempotency-Key`",
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
        self.error_body().to_json()
    }

    /// The same after the headers of a stream: an event, and no `[DONE]` behind it.
    pub fn event(&self) -> String {
        self.error_body().to_event()
    }

    fn error_body(&self) -> ErrorBody<'_> {
        ErrorBody {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: &self.code,
        }
    }

    /// `Retry-After` in whole seconds, at least one.
    pub fn retry_after_s(&self) -> Option<i64> {
        self.retry_after_ms.map(|ms| (ms + 999).max(1_000) / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (ms, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_500, 3)] {
            assert_eq!(
                Refusal::busy("", "", Duration::from_millis(ms)).retry_after_s(),
                Some(seconds),
                "{ms} ms"
            );
        }
    }
}
