//! Why a choice ended, by whatever name an endpoint calls it. Pure.

use relay_schemas::FinishReason;

/// How a choice says that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a reason of the API's.
    Because(FinishReason),
    /// The endpoint gave the choice up.
    Failed,
}

/// The API has five reasons; endpoints have more names for them, and some write `""` or `"null"` for none yet.
pub fn end(reason: &str) -> Option<End> {
    let known = match reason.to_ascii_lowercase().as_str() {
        "" | "null" | "none" | "unknown" | "finish_reason_unspecified" => return None,
        "failed" | "abort" | "aborted" | "cancelled" | "insufficient_system_resource" => {
            return Some(End::Failed);
        }
        name if name.contains("error") || name.starts_with("malformed") => return Some(End::Failed),
        "max_tokens"
        | "max_token"
        | "max_length"
        | "max_output_tokens"
        | "model_length"
        | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" | "tool_call" => FinishReason::ToolCalls,
        "safety" | "recitation" | "content_policy" | "prohibited_content" | "sensitive" | "blocklist"
        | "spii" | "blocked" | "image_safety" | "language" => FinishReason::ContentFilter,
        // `eos`, `end_turn`, `stop_sequence`, …: it came to its end.
        name => FinishReason::named(name).unwrap_or(FinishReason::Stop),
    };
    Some(End::Because(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_apis_five_whatever_an_endpoint_calls_them() {
        let cases = [
            ("", None),
            ("null", None),
            ("unknown", None),
            ("FINISH_REASON_UNSPECIFIED", None),
            ("stop", Some(End::Because(FinishReason::Stop))),
            ("eos", Some(End::Because(FinishReason::Stop))),
            ("MAX_TOKENS", Some(End::Because(FinishReason::Length))),
            ("tool_use", Some(End::Because(FinishReason::ToolCalls))),
            ("content_filter", Some(End::Because(FinishReason::ContentFilter))),
            ("max_token", Some(End::Because(FinishReason::Length))),
            (
                "model_context_window_exceeded",
                Some(End::Because(FinishReason::Length)),
            ),
            ("sensitive", Some(End::Because(FinishReason::ContentFilter))),
            ("BLOCKLIST", Some(End::Because(FinishReason::ContentFilter))),
            ("error", Some(End::Failed)),
            ("network_error", Some(End::Failed)),
            ("MALFORMED_FUNCTION_CALL", Some(End::Failed)),
        ];
        for (reason, expected) in cases {
            assert_eq!(end(reason), expected, "{reason}");
        }
    }
}
