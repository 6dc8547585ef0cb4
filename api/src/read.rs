//! Typed reading of bodies, with errors that name path, expectation and finding, and quote nothing.

use std::fmt::Write;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use crate::error::Invalid;
use crate::json::kind;
use crate::raw::Object;

/// The members of the JSON object `text` that `T` knows.
///
/// # Errors
/// [`Invalid`].
pub fn typed<T: DeserializeOwned>(text: &str) -> Result<T, Invalid> {
    // A structure would be read from a list of its fields too.
    if !text.trim_start().starts_with('{') {
        return Err(Invalid::body("the body is no JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| invalid(text, error))
}

/// The members of `text` that `T` knows, out of those of them that are named so: what else it holds is not read once more.
///
/// # Errors
/// [`Invalid`].
pub fn typed_of<T: DeserializeOwned>(
    members: &Object<'_>,
    text: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<T, Invalid> {
    let wanted = members.raw().filter(|(name, _)| is_wanted(name));
    let reader = MapDeserializer::<_, serde_json::Error>::new(wanted);
    serde_path_to_error::deserialize(reader).map_err(|error| invalid(text, error))
}

fn invalid(text: &str, error: serde_path_to_error::Error<serde_json::Error>) -> Invalid {
    let (path, inner) = (error.path().clone(), error.into_inner());
    let (place, words) = (place_of(&path), inner.to_string());
    let mut invalid = told(text, &path, &place, &words);
    if MAPS.iter().any(|map| place.ends_with(map)) && path.to_string() != place {
        invalid.message = invalid.message.replacen('`', "a value in `", 1);
    }
    invalid
}

/// Our own fields whose members the client names.
const MAPS: [&str; 2] = ["logit_bias", "metadata"];

/// The longest name of a field of ours, with room to spare.
const NAME_LENGTH: usize = 64;

/// `path` up to the first name that is the client's own: that may be as long and as secret as any content.
fn place_of(path: &Path) -> String {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Map { key } if is_ours(key) => {
                if !place.is_empty() {
                    place.push('.');
                }
                place.push_str(key);
                if MAPS.contains(&key.as_str()) {
                    break;
                }
            }
            Segment::Seq { index } => write!(place, "[{index}]").expect("a String takes everything"),
            _ => break,
        }
    }
    if place.is_empty() {
        place.push('.');
    }
    place
}

/// Whether a field of ours may be called that.
fn is_ours(key: &str) -> bool {
    (1..=NAME_LENGTH).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// serde quotes what it found, which may be a prompt; what it expected is our own word and stands last.
fn told(text: &str, path: &Path, place: &str, words: &str) -> Invalid {
    let words = words.rfind(" at line ").map_or(words, |at| &words[..at]);
    if words.starts_with("EOF") || place == "." && !words.contains('`') {
        return Invalid::body("the body is not valid JSON");
    }
    let quoted = |words: &str| words.split('`').nth(1).unwrap_or_default().to_owned();
    if words.starts_with("missing field") {
        let field = match place {
            "." => quoted(words),
            _ => format!("{place}.{}", quoted(words)),
        };
        return Invalid::missing(&field, "it is required");
    }
    if words.starts_with("duplicate field") {
        return Invalid::body(format!("`{}` is there twice", quoted(words)));
    }
    if words == "expected value" {
        // What serde_json says of something that cannot be one of several words.
        let found = at(text, path).map_or("another value", |raw| kind(&raw));
        return Invalid::kind(place, "a string", found);
    }
    if words == "number out of range" {
        return Invalid::value(place, format!("`{place}` is out of range"));
    }
    let Some((_, expected)) = words.rsplit_once(", expected ") else {
        return Invalid::value(place, format!("`{place}` {words}"));
    };
    let expected = in_words(expected);
    if words.starts_with("invalid type") {
        let found = at(text, path).map_or("another value", |raw| kind(&raw));
        return Invalid::kind(place, &expected, found);
    }
    Invalid::value(place, format!("`{place}` must be {expected}"))
}

fn in_words(expected: &str) -> String {
    match expected {
        "f64" | "f32" => "a number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "string" | "a string" => "a string".to_owned(),
        _ if expected.starts_with("struct ") => "an object".to_owned(),
        _ => expected.to_owned(),
    }
}

/// The value at `path`, as text.
fn at(text: &str, path: &Path) -> Option<String> {
    let mut here = text.to_owned();
    for segment in path {
        here = match segment {
            Segment::Map { key } => Object::parse(&here).ok()?.get(key)?.to_owned(),
            Segment::Seq { index } => {
                let items: Vec<&RawValue> = serde_json::from_str(&here).ok()?;
                items.get(*index)?.get().to_owned()
            }
            Segment::Enum { .. } | Segment::Unknown => return None,
        };
    }
    Some(here)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Sample {
        list: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it is only read")]
    struct Item {
        number: f64,
        word: Word,
        metadata: Option<BTreeMap<String, f64>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
        No,
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_without_what_stood_there() {
        let cases = [
            ("{}", "list", "`list` is missing; it is required"),
            (r#"{"list":{}}"#, "list", "`list` must be a list, got an object"),
            (
                r#"{"list":[{"number":1,"word":"yes"},{"number":"secret, expected x","word":"no"}]}"#,
                "list[1].number",
                "`list[1].number` must be a number, got a string",
            ),
            (
                r#"{"list":[{"number":1,"word":"secret"}]}"#,
                "list[0].word",
                "`list[0].word` must be `yes` or `no`",
            ),
            (
                r#"{"list":[{"number":1}]}"#,
                "list[0].word",
                "`list[0].word` is missing; it is required",
            ),
            (
                r#"{"list":[{"number":1e400,"word":"no"}]}"#,
                "list[0].number",
                "`list[0].number` is out of range",
            ),
            (
                r#"{"list":[{"number":1,"word":"no","metadata":{"secret":"x"}}]}"#,
                "list[0].metadata",
                "a value in `list[0].metadata` must be a number, got a string",
            ),
            (
                r#"{"list":[{"number":1,"word":"no","metadata":[]}]}"#,
                "list[0].metadata",
                "`list[0].metadata` must be an object, got a list",
            ),
        ];
        for (text, param, message) in cases {
            let invalid = typed::<Sample>(text).expect_err(text);
            assert_eq!(
                (invalid.param.as_deref(), invalid.message.as_str()),
                (Some(param), message)
            );
        }
    }
}
