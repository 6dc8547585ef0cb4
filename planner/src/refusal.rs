//! A request that gets no plan.

/// A request that gets no plan: how it fails, in an outcome's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// `model_not_found`, `no_plan` or `invalid_request`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: "invalid_request",
            message: message.into(),
        }
    }

    pub(crate) fn no_plan(message: String) -> Self {
        Self {
            code: "no_plan",
            message,
        }
    }
}
