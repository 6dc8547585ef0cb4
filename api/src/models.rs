//! `GET /v1/models`.

use crate::json::write_string;
use crate::response::{list, put};

/// The list of models: names, and when they were first seen, seconds since 1970.
pub fn models(models: impl IntoIterator<Item = (String, i64)>) -> String {
    let mut out = String::from(r#"{"object":"list","data":["#);
    list(&mut out, models, |out, (id, created)| {
        out.push_str(r#"{"id":"#);
        write_string(out, &id);
        put(
            out,
            format_args!(r#","object":"model","created":{created},"owned_by":"relay"}}"#),
        );
    });
    out.push_str("]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_a_list() {
        assert_eq!(
            models([("a\"b".to_owned(), 7)]),
            r#"{"object":"list","data":[{"id":"a\"b","object":"model","created":7,"owned_by":"relay"}]}"#
        );
    }
}
