//! What is wrong with a request, and the error body of the API. Pure.

use crate::json::write_string;

/// What is wrong with a request, where, and how to mend it. Holds nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// `error.code`.
    pub code: &'static str,
    /// `error.param`: the path of the field, such as `messages[1].content[0].text`.
    pub param: Option<String>,
    /// `error.message`.
    pub message: String,
}

impl Invalid {
    /// A value that cannot be.
    pub fn value(param: &str, message: impl Into<String>) -> Self {
        Self::new("invalid_value", param, message)
    }

    /// A value of the wrong type.
    pub fn kind(param: &str, expected: &str, found: &str) -> Self {
        let message = format!("`{param}` must be {expected}, got {found}");
        Self::new("invalid_type", param, message)
    }

    /// A field that has to be there.
    pub fn missing(param: &str, remedy: &str) -> Self {
        let message = format!("`{param}` is missing; {remedy}");
        Self::new("missing_required_parameter", param, message)
    }

    /// A body that is no JSON, or not such as can be carried.
    pub fn body(message: impl Into<String>) -> Self {
        Self {
            code: "invalid_json",
            param: None,
            message: message.into(),
        }
    }

    fn new(code: &'static str, param: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            param: Some(param.to_owned()),
            message: message.into(),
        }
    }
}

/// The error body of the API, `{"error": {…}}`.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    /// For people.
    pub message: &'a str,
    /// `error.type`.
    pub kind: &'a str,
    /// The path of the field that is wrong.
    pub param: Option<&'a str>,
    /// For machines.
    pub code: &'a str,
}

impl ErrorBody<'_> {
    /// As JSON.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(128 + self.message.len());
        out.push_str(r#"{"error":{"message":"#);
        write_string(&mut out, self.message);
        out.push_str(r#","type":"#);
        write_string(&mut out, self.kind);
        out.push_str(r#","param":"#);
        match self.param {
            Some(param) => write_string(&mut out, param),
            None => out.push_str("null"),
        }
        out.push_str(r#","code":"#);
        write_string(&mut out, self.code);
        out.push_str("}}");
        out
    }

    /// The same as an event of a stream. No `[DONE]` follows it.
    pub fn to_event(&self) -> String {
        format!("data: {}\n\n", self.to_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_has_the_four_fields_of_the_api() {
        let body = ErrorBody {
            message: "a \"word\"",
            kind: "invalid_request_error",
            param: None,
            code: "invalid_value",
        };
        assert_eq!(
            body.to_json(),
            r#"{"error":{"message":"a \"word\"","type":"invalid_request_error","param":null,"code":"invalid_value"}}"#
        );
    }
}
