//! What the codes of `ingress/src/answers/failure.rs` tell a client about its request. Pure.

/// What a code means for who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It was not accepted.
    Refused,
    /// Nothing is known.
    Unknown,
    /// It ended with an answer, which cannot be shown, or not to its end.
    NotShown,
    /// It ended: what every other code says, those of later versions too. So does the 504 of an ingress that gave up.
    End,
}

/// What `code` means.
pub fn means(code: &str) -> Meaning {
    match code {
        "unknown_result" | "shutting_down" => Meaning::Unknown,
        "answer_diverged" | "answer_unavailable" => Meaning::NotShown,
        // A recorded end has a code of its own, never this one of last resort.
        "internal_error"
        | "too_many_in_flight"
        | "service_unavailable"
        | "insufficient_storage"
        | "idempotency_key_reused"
        | "idempotency_unavailable"
        | "invalid_tenant"
        | "invalid_deadline"
        | "invalid_idempotency_key"
        | "invalid_json"
        | "invalid_type"
        | "invalid_value"
        | "unsupported_value"
        | "missing_required_parameter"
        | "incomplete_body"
        | "request_timeout"
        | "request_too_large"
        | "unknown_url"
        | "method_not_allowed" => Meaning::Refused,
        _ => Meaning::End,
    }
}
