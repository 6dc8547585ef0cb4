//! Bytes as people read them: text where they are text, else escaped and marked as that. Pure.

use serde_json::{Value, json};

/// The field that marks bytes which are no text.
const ESCAPED: &str = "not_utf8";

/// Bytes in a JSON line.
pub fn shown(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(
        |_| json!({ ESCAPED: bytes.escape_ascii().to_string() }),
        |text| json!(text),
    )
}

/// A value of a JSON line in a table: nothing that a terminal would obey, and what was escaped between quotes.
pub fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Object(fields) => match fields.get(ESCAPED) {
            Some(Value::String(escaped)) => format!("b\"{escaped}\""),
            _ => plain(&value.to_string()),
        },
        other => plain(&other.to_string()),
    }
}

fn plain(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_and_what_is_none_is_escaped_and_marked() {
        for (bytes, line, in_table) in [
            (&b"acme/nightly"[..], json!("acme/nightly"), "acme/nightly"),
            ("größe".as_bytes(), json!("größe"), "größe"),
            (b"", json!(""), ""),
            (
                b"a\xff\x00\"",
                json!({"not_utf8": "a\\xff\\x00\\\""}),
                "b\"a\\xff\\x00\\\"\"",
            ),
            (b"a\x1b[2J\n", json!("a\x1b[2J\n"), "a\\u{1b}[2J\\n"),
        ] {
            assert_eq!(shown(bytes), line);
            assert_eq!(word(&line), in_table);
        }
        assert_eq!(word(&Value::Null), "-");
        assert_eq!(word(&json!(7)), "7");
    }
}
