//! What a client is told of an answer that is no success; the HTTP status is chosen here and nowhere else. Pure.

use relay_lifecycle::{Broken, binds_key, is_success};
use relay_schemas::{Final, OutcomeStatus};

use super::end::End;
use crate::admission::accept::Accepted;
use crate::refusal::Refusal;

/// What a client is told of a request that was accepted and did not succeed.
///
/// A repeat could run twice, so it is discouraged; not so after a rejection, or where an endpoint said when to come back:
/// those never ran. Under an idempotency key it is discouraged where the key is bound to this end, which would only be told again.
///
/// What was recorded of a fault of the gateway's own speaks of its inside, to its operator: the client is told that there was one.
fn of_end(end: &Final, keyed: bool) -> Refusal {
    let code = end.code.as_deref().unwrap_or(default_code(end.status));
    let status = http_status(end.status, code);
    let message = match &end.message {
        _ if status == 500 => OWN_FAULT,
        Some(message) => message,
        None => default_message(end.status),
    };
    // An endpoint's 429 is no less a rejection than our own.
    let rejected = end.status == OutcomeStatus::Rejected || code == "backend_busy";
    let never_ran = rejected || (end.retry_after_ms.is_some() && matches!(status, 429 | 503));
    Refusal {
        param: (code == "model_not_found").then(|| "model".to_owned()),
        retry_after_ms: end.retry_after_ms.or(rejected.then_some(1_000)),
        never_retry: if keyed {
            binds_key(end.status, end.usage)
        } else {
            !never_ran
        },
        ..Refusal::new(status, code, message)
    }
}

/// What a client is told of a fault of the gateway's own.
const OWN_FAULT: &str =
    "the request failed by a fault of this gateway; the trace of its `x-request-id` tells the operator why";

/// What a client is told of an end that is no success.
pub fn of(end: &End, keyed: bool) -> Refusal {
    match end {
        End::Finished { end, .. } => of_end(end, keyed),
        End::Broken(broken) => of_broken(*broken),
    }
}

/// The code of an end that is no success.
pub fn code_of(end: &End) -> Option<String> {
    match end {
        End::Finished { end, .. } if is_success(end.status) => None,
        failed => Some(of(failed, false).code),
    }
}

/// What a client is told when no end was heard of.
pub fn timed_out(accepted: Accepted, keyed: bool) -> Refusal {
    match accepted {
        Accepted::Yes => Refusal::no_answer(keyed),
        Accepted::Unknown => Refusal::unknown_result(keyed),
    }
}

/// What a client is told whose answer is cut because this gateway ends.
pub fn cut(keyed: bool) -> Refusal {
    Refusal::shut_down(keyed)
}

/// What a client is told of an answer that cannot be finished truthfully.
fn of_broken(broken: Broken) -> Refusal {
    let (code, message) = match broken {
        Broken::Untold => return Refusal::untold(),
        Broken::OtherBody => return Refusal::key_reused(),
        Broken::Diverged => (
            "answer_diverged",
            "another run of this request was recorded than the one shown; what was shown is void",
        ),
        Broken::Unavailable => (
            "answer_unavailable",
            "the request ended, but its text is no longer held: it was too large to be recorded, or `store: false` kept it out",
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
        "queue_full" | "tenant_queue_full" | "backend_busy" => 429,
        "worker_lost" | "no_worker" | "backend_unavailable" => 503,
        "dead_letter" | "record_damaged" => 500,
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
            model: String::new(),
            usage: Usage::default(),
            usage_details: None,
            extra: None,
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
            (O::Rejected, Some("no_worker"), 503, "server_error"),
            (O::Failed, Some("backend_error"), 502, "server_error"),
            (O::Failed, Some("backend_unavailable"), 503, "server_error"),
            (O::Failed, Some("backend_busy"), 429, "rate_limit_error"),
            (O::Failed, Some("dead_letter"), 500, "server_error"),
            (O::Failed, Some("record_damaged"), 500, "server_error"),
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
    fn an_endpoint_that_says_when_to_come_back_is_told_and_may_be_asked_again() {
        let mut end = ended(OutcomeStatus::Failed, Some("backend_unavailable"));
        assert!(of_end(&end, false).never_retry, "it may have run");
        end.retry_after_ms = Some(7_001);
        let refusal = of_end(&end, false);
        assert_eq!(
            (refusal.status, refusal.retry_after_s(), refusal.never_retry),
            (503, Some(8), false)
        );
        assert!(!of_end(&end, true).never_retry, "the key is free");
    }

    #[test]
    fn an_endpoints_429_reaches_the_client_as_a_429_with_the_time_to_come_back() {
        let mut end = ended(OutcomeStatus::Failed, Some("backend_busy"));
        for (said_ms, told_s) in [(Some(30_000), 30), (None, 1)] {
            end.retry_after_ms = said_ms;
            let refusal = of_end(&end, false);
            assert_eq!(
                (refusal.status, refusal.retry_after_s(), refusal.never_retry),
                (429, Some(told_s), false)
            );
        }
    }

    #[test]
    fn an_error_never_names_a_topic_to_a_client() {
        let message = "the request's record at relay.ready.default.v1-3@17 could not be processed";
        for code in [Some("dead_letter"), Some("a_later_code"), None] {
            let end = Final {
                message: Some(message.to_owned()),
                ..ended(OutcomeStatus::Failed, code)
            };
            let refusal = of_end(&end, false);
            assert_eq!(refusal.status, 500, "{code:?}");
            assert!(!refusal.body().contains("relay."), "{}", refusal.body());
        }
    }

    #[test]
    fn only_what_never_ran_may_be_repeated_by_itself() {
        let rejected = ended(OutcomeStatus::Rejected, Some("queue_full"));
        assert!(!of_end(&rejected, false).never_retry);
        assert_eq!(of_end(&rejected, false).retry_after_s(), Some(1));
        let mut failed = ended(OutcomeStatus::Failed, None);
        assert!(of_end(&failed, false).never_retry);
        for never_charged in [&rejected, &failed] {
            assert!(
                !of_end(never_charged, true).never_retry,
                "a repeat under the key runs anew"
            );
        }
        failed.usage.completion_tokens = relay_schemas::TokenCount(1);
        assert!(
            of_end(&failed, true).never_retry,
            "a repeat under the key is told the same again"
        );
        assert!(Refusal::unknown_result(false).never_retry);
        assert!(!Refusal::unknown_result(true).never_retry);
    }
}
