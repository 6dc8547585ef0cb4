//! JSON as text: strings written in one way, white space taken out, and what no reader could agree on refused.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memchr2;

/// Writes `text` as a JSON string, escaping only what must be escaped.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut clean_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[clean_from..at]);
        clean_from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0A => out.push_str("\\n"),
            0x0C => out.push_str("\\f"),
            0x0D => out.push_str("\\r"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(control >> 4)]));
                out.push(char::from(HEX[usize::from(control & 0xF)]));
            }
        }
    }
    out.push_str(&text[clean_from..]);
    out.push('"');
}

/// Why a JSON text is refused that a parser takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is nested deeper than is allowed.
    Deep,
    /// An object names a member twice, as JSON writes it: readers would disagree on which one counts.
    Twice(String),
    /// A string that is no Unicode text.
    NoText,
}

/// What an open bracket holds.
enum Open<'a> {
    Array,
    Object(HashSet<Cow<'a, str>>),
}

/// `text`, which is valid JSON, without white space and with its strings written in one way. Numbers stay as they were written,
/// members where they stood. Nothing is copied where it is written so already, as most clients do.
///
/// # Errors
/// [`Fault`].
pub fn compact(text: &str, depth: usize) -> Result<Cow<'_, str>, Fault> {
    let bytes = text.as_bytes();
    // What was written anew, and from where on the text stands as it is to stand.
    let (mut out, mut kept_from) = (String::new(), 0);
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    // Whether the next string is a member's name.
    let mut name_next = false;
    while at < bytes.len() {
        let begin = at;
        at += 1;
        match bytes[begin] {
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&text[kept_from..begin]);
                kept_from = at;
            }
            b'"' => {
                let is_written_so;
                (at, is_written_so) = string_at(bytes, begin);
                let mut written = Cow::Borrowed(&text[begin..at]);
                if !is_written_so {
                    written = Cow::Owned(rewritten(&written)?);
                    out.push_str(&text[kept_from..begin]);
                    out.push_str(&written);
                    kept_from = at;
                }
                if let (true, Some(Open::Object(names))) = (name_next, open.last_mut())
                    && let Some(twice) = names.replace(written)
                {
                    return Err(Fault::Twice(twice[1..twice.len() - 1].to_owned()));
                }
            }
            bracket @ (b'{' | b'[') => {
                if open.len() == depth {
                    return Err(Fault::Deep);
                }
                name_next = bracket == b'{';
                open.push(if name_next {
                    Open::Object(HashSet::new())
                } else {
                    Open::Array
                });
            }
            mark @ (b'}' | b']' | b':' | b',') => {
                if matches!(mark, b'}' | b']') {
                    open.pop();
                }
                name_next = mark == b',' && matches!(open.last(), Some(Open::Object(_)));
            }
            _ => {
                // A number or a word: up to what ends it.
                while bytes.get(at).is_some_and(|byte| !b" \t\n\r,]}".contains(byte)) {
                    at += 1;
                }
            }
        }
    }
    if kept_from == 0 {
        return Ok(Cow::Borrowed(text));
    }
    out.push_str(&text[kept_from..]);
    Ok(Cow::Owned(out))
}

/// How deep JSON of others may be nested: what is deeper is no answer and no request, and what walks through values level by
/// level needs an end.
pub const DEEPEST: usize = 64;

/// Whether `text` is nested deeper than `most` levels. What is no JSON has a depth too, by its brackets.
pub fn is_deeper_than(text: &str, most: usize) -> bool {
    let bytes = text.as_bytes();
    let (mut open, mut at) = (0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'"' => string_at(bytes, at).0,
            _ => at + 1,
        };
        match byte {
            b'{' | b'[' if open == most => return true,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Behind the closing quote of the string that begins at `begin`; and whether it is certainly written as [`write_string`] would
/// write it: what is escaped by its number may not be.
fn string_at(bytes: &[u8], begin: usize) -> (usize, bool) {
    let (mut at, mut is_written_so) = (begin + 1, true);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return (at + 1, is_written_so);
        }
        is_written_so &= matches!(
            bytes.get(at + 1),
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')
        );
        at += 2;
    }
    (bytes.len(), is_written_so)
}

fn rewritten(quoted: &str) -> Result<String, Fault> {
    let text: String = serde_json::from_str(quoted).map_err(|_| Fault::NoText)?;
    let mut out = String::with_capacity(text.len() + 2);
    write_string(&mut out, &text);
    Ok(out)
}

/// What a raw value is, in words; never its content.
pub fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'n') | None => "null",
        Some(b't' | b'f') => "a boolean",
        Some(b'"') if raw.len() == 2 => "an empty string",
        Some(b'"') => "a string",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        Some(_) => "a number",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn white_space_goes_strings_are_written_in_one_way_and_numbers_stay() {
        let text =
            "{ \"b\\u0041\\/\" : [ 1e400 , -0.0,\t9007199254740993 ],\n\"a\":\"\\u00e9\\ud83d\\ude00\\n\" }";
        let expected = r#"{"bA/":[1e400,-0.0,9007199254740993],"a":"é😀\n"}"#;
        assert_eq!(compact(text, 9).as_deref(), Ok(expected));
        let same = r#"{"a\"b":"\\\b\f\n\r\té😀\u0001","c":[{"d":-0.0},{}],"e":null}"#;
        assert!(matches!(compact(expected, 9), Ok(Cow::Borrowed(same)) if same == expected));
        assert_eq!(compact(same, 9).as_deref(), Ok(same));
        assert_eq!(compact(" [ \"\\u000a\" ] ", 9).as_deref(), Ok(r#"["\n"]"#));
    }

    #[test]
    fn what_readers_would_disagree_on_is_refused() {
        let cases = [
            (r#"{"a":1,"\u0061":2}"#, Fault::Twice("a".to_owned())),
            (r#"{"x":[{"b":"b","c":{},"b":1}]}"#, Fault::Twice("b".to_owned())),
            (r#"["\ud800"]"#, Fault::NoText),
            ("[[[[[]]]]]", Fault::Deep),
        ];
        for (text, fault) in cases {
            assert_eq!(compact(text, 4), Err(fault), "{text}");
        }
        assert!(compact(r#"{"a":{"a":["a","a"]},"b":"a"}"#, 3).is_ok());
    }

    #[test]
    fn depth_is_counted_outside_of_strings_and_by_what_is_open_at_once() {
        for (text, depth) in [
            ("", 0),
            ("1", 0),
            (r#""[[[[\"[[""#, 0),
            ("[[],[],{}]", 2),
            (r#"{"a":[{"b":"}"}]}"#, 3),
            ("]]][[", 2),
            (r#"["\u005b", "half"#, 1),
        ] {
            assert!(!is_deeper_than(text, depth), "{text}");
            assert!(depth == 0 || is_deeper_than(text, depth - 1), "{text}");
        }
        assert!(is_deeper_than(&"[".repeat(1_000_000), DEEPEST));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,5}", inner, 0..5)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn however_a_value_is_spaced_it_is_compacted_to_one_text(value in any_json()) {
            let text = value.to_string();
            let tight = compact(&text, 99).expect("it has no fault");
            let wide = serde_json::to_string_pretty(&value).expect("JSON");
            let again = compact(&wide, 99).expect("it has no fault");
            prop_assert_eq!(&again, &tight);
            prop_assert_eq!(serde_json::from_str::<Value>(&tight).expect("JSON"), value);
        }

        #[test]
        fn a_string_is_written_as_json(text in any::<String>()) {
            let mut out = String::new();
            write_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).expect("JSON"), text);
        }
    }
}
