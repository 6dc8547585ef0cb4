//! JSON that people read: indented, and every number and string as it was written. Pure.

use serde::de::IgnoredAny;

/// `text` indented; what is no JSON stays as it is.
pub(super) fn indented(text: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    let mut rest = text.chars().filter(|char| !char.is_control()).peekable();
    while let Some(char) = rest.next() {
        if in_string {
            out.push(char);
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
            continue;
        }
        match char {
            ' ' => {}
            '{' | '[' => {
                out.push(char);
                while rest.next_if_eq(&' ').is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => {
                in_string = other == '"';
                out.push(other);
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_what_is_none_stays_as_it_is() {
        assert_eq!(
            indented(r#"{"a":[1, {}],"b" : "x\\\"{,"}"#),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x\\\\\\\"{,\"\n}"
        );
        assert_eq!(indented("{no json"), "{no json");
        assert_eq!(indented("{\n\t\"a\" :[ ] }"), "{\n  \"a\": []\n}");
    }

    #[test]
    fn numbers_are_shown_as_they_were_written() {
        let text = r#"{"seed":9007199254740993,"huge":1e400,"zero":-0.00}"#;
        for number in ["9007199254740993", "1e400", "-0.00"] {
            assert!(indented(text).contains(number), "{number}");
        }
    }
}
