//! `GET /v1/models`, and each of them.

use crate::json::write_string;
use crate::response::{list, put};

/// The list of models: names, and when they were first seen, seconds since 1970.
pub fn models<'a>(models: impl IntoIterator<Item = (&'a str, i64)>) -> String {
    let mut out = String::from(r#"{"object":"list","data":["#);
    list(&mut out, models, |out, (id, created)| write(out, id, created));
    out.push_str("]}");
    out
}

/// One model.
pub fn model(id: &str, created: i64) -> String {
    let mut out = String::new();
    write(&mut out, id, created);
    out
}

fn write(out: &mut String, id: &str, created: i64) {
    out.push_str(r#"{"id":"#);
    write_string(out, id);
    put(
        out,
        format_args!(r#","object":"model","created":{created},"owned_by":"relay"}}"#),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_a_list_of_what_each_of_them_is() {
        let one = r#"{"id":"a\"b","object":"model","created":7,"owned_by":"relay"}"#;
        assert_eq!(model("a\"b", 7), one);
        assert_eq!(
            models([("a\"b", 7)]),
            format!(r#"{{"object":"list","data":[{one}]}}"#)
        );
    }
}
