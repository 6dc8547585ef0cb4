//! JSON that people read: indented, and every number and string as it was written. Pure.

use serde::de::IgnoredAny;

/// Levels that are indented further than the one around them: what is deeper, no one reads by its margin.
const MOST_LEVELS: usize = 32;
/// Indented, a text may be so many times as long, and so many bytes longer.
const MOST_TIMES: usize = 4;
const MOST_MORE: usize = 256;
/// Stands before what would have become longer.
const NOTE: &str = "\n… it goes on as it came, nested too deep to be indented:\n";

/// `text` indented; what is no JSON stays as it is, as does what is behind the place from which on the margins would be most of
/// the page.
pub(super) fn indented(text: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let most = text.len() * MOST_TIMES + MOST_MORE;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    let mut rest = text.chars().filter(|char| !char.is_control()).peekable();
    while let Some(char) = rest.next() {
        if out.len() > most {
            out.push_str(NOTE);
            out.push(char);
            out.extend(rest);
            break;
        }
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
    out.extend(std::iter::repeat_n("  ", depth.min(MOST_LEVELS)));
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
    fn the_margins_of_what_is_nested_deep_do_not_become_most_of_the_page() {
        // Its 10 kB became 50 MB, and those of 400,000 levels more than there is.
        for levels in [8, 5_000, 400_000] {
            let text = "[".repeat(levels) + &"]".repeat(levels);
            let shown = indented(&text);
            assert!(
                shown.len() <= text.len() * (MOST_TIMES + 1) + 2 * MOST_MORE,
                "{levels}"
            );
            for bracket in ['[', ']'] {
                assert_eq!(shown.matches(bracket).count(), levels, "nothing is left out");
            }
            assert_eq!(shown.contains(NOTE), levels > 8);
        }
        let parameters = r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}}}"#;
        let tools = format!(
            r#"{{"tools":[{{"type":"function","function":{{"name":"f","parameters":{parameters}}}}}]}}"#
        );
        assert!(!indented(&tools).contains(NOTE));
    }

    #[test]
    fn numbers_are_shown_as_they_were_written() {
        let text = r#"{"seed":9007199254740993,"huge":1e400,"zero":-0.00}"#;
        for number in ["9007199254740993", "1e400", "-0.00"] {
            assert!(indented(text).contains(number), "{number}");
        }
    }
}
