//! What went wrong, as a page or as JSON.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use relay_store::StoreError;
use serde::Serialize;

use super::pages;

/// Whether the client asks for JSON: `?format=json`, else the `Accept` header.
pub(super) fn wants_json(format: Option<&str>, headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    match format {
        Some(format) => format == "json",
        None => accept.contains("application/json") && !accept.contains("text/html"),
    }
}

/// What went wrong, in the form that was asked for.
pub(super) struct AdminError {
    json: bool,
    status: StatusCode,
    message: String,
}

impl AdminError {
    pub(super) fn bad_request(json: bool, message: String) -> Self {
        Self {
            json,
            status: StatusCode::BAD_REQUEST,
            message,
        }
    }

    pub(super) fn not_found(json: bool, message: String) -> Self {
        Self {
            json,
            status: StatusCode::NOT_FOUND,
            message,
        }
    }

    pub(super) fn of_store(json: bool, error: &StoreError) -> Self {
        tracing::warn!(%error, "the traces cannot be shown");
        let status = match error {
            StoreError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            StoreError::Refused(_) | StoreError::Fatal(_) | StoreError::Damaged(_) | StoreError::Moved => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self {
            json,
            status,
            message: error.to_string(),
        }
    }
}

#[derive(Serialize)]
struct FailurePage<'a> {
    title: &'a str,
    message: &'a str,
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        if self.json {
            let body = serde_json::json!({ "error": { "message": self.message } });
            return (self.status, axum::Json(body)).into_response();
        }
        let title = self.status.canonical_reason().unwrap_or("Failure");
        let view = FailurePage {
            title,
            message: &self.message,
        };
        (self.status, pages::render("failure.html", &view)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        let cases = [
            (None, "application/json", true),
            (
                None,
                "text/html,application/xhtml+xml,application/json;q=0.9",
                false,
            ),
            (None, "*/*", false),
            (None, "", false),
            (Some("json"), "text/html", true),
            (Some("html"), "application/json", false),
        ];
        for (format, accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_json(format, &headers), expected, "{format:?}, {accept}");
        }
    }
}
