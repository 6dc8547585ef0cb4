//! Log-probabilities as completions write them, to and from the entries that records hold.
//!
//! A record's entry is an object a token (`token`, `logprob`, `top_logprobs`, as in chats); a completion has four lists side
//! by side. Numbers stay as they were written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::write_string;
use crate::response::{list, put};

#[derive(Deserialize)]
struct Lists<'a> {
    tokens: Option<Vec<String>>,
    #[serde(borrow)]
    token_logprobs: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Option<BTreeMap<String, &'a RawValue>>>>,
    text_offset: Option<Vec<u64>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default)]
    token: String,
    #[serde(borrow)]
    logprob: Option<&'a RawValue>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Alternative<'a>>>,
    text_offset: Option<u64>,
}

#[derive(Deserialize)]
struct Alternative<'a> {
    #[serde(default)]
    token: String,
    #[serde(borrow)]
    logprob: Option<&'a RawValue>,
}

/// The entries of a completion's `logprobs` object; none where it is not one.
pub fn entries(object: &str) -> Vec<String> {
    let Ok(lists) = serde_json::from_str::<Lists<'_>>(object) else {
        return Vec::new();
    };
    let entry = |(at, token): (usize, &String)| {
        let mut out = String::with_capacity(64);
        out.push_str(r#"{"token":"#);
        write_string(&mut out, token);
        out.push_str(r#","logprob":"#);
        let logprob = lists.token_logprobs.as_ref().and_then(|all| all.get(at));
        out.push_str(logprob.map_or("null", |raw| raw.get()));
        let alternatives = lists.top_logprobs.as_ref().and_then(|all| all.get(at)?.as_ref());
        if let Some(alternatives) = alternatives {
            out.push_str(r#","top_logprobs":["#);
            list(&mut out, alternatives, |out, (token, logprob)| {
                out.push_str(r#"{"token":"#);
                write_string(out, token);
                out.push_str(r#","logprob":"#);
                out.push_str(logprob.get());
                out.push('}');
            });
            out.push(']');
        }
        if let Some(offset) = lists.text_offset.as_ref().and_then(|all| all.get(at)) {
            put(&mut out, format_args!(r#","text_offset":{offset}"#));
        }
        out.push('}');
        out
    };
    lists.tokens.iter().flatten().enumerate().map(entry).collect()
}

/// Writes entries as a completion's `logprobs` object, or null where there are none. `offset`: characters of the text before;
/// gives those behind it.
pub(super) fn write(out: &mut String, entries: &[String], mut offset: u64) -> u64 {
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .filter_map(|entry| serde_json::from_str(entry).ok())
        .collect();
    if entries.is_empty() {
        out.push_str("null");
        return offset;
    }
    out.push_str(r#"{"tokens":["#);
    list(out, &entries, |out, entry| write_string(out, &entry.token));
    out.push_str(r#"],"token_logprobs":["#);
    list(out, &entries, |out, entry| {
        out.push_str(entry.logprob.map_or("null", RawValue::get));
    });
    out.push_str(r#"],"top_logprobs":"#);
    if entries.iter().all(|entry| entry.top_logprobs.is_none()) {
        out.push_str("null");
    } else {
        out.push('[');
        list(out, &entries, alternatives);
        out.push(']');
    }
    out.push_str(r#","text_offset":["#);
    list(out, &entries, |out, entry| {
        offset = entry.text_offset.unwrap_or(offset);
        out.push_str(&offset.to_string());
        offset += entry.token.chars().count() as u64;
    });
    out.push_str("]}");
    offset
}

fn alternatives(out: &mut String, entry: &Entry<'_>) {
    let Some(alternatives) = &entry.top_logprobs else {
        return out.push_str("null");
    };
    out.push('{');
    list(out, alternatives, |out, alternative| {
        write_string(out, &alternative.token);
        out.push(':');
        out.push_str(alternative.logprob.map_or("null", RawValue::get));
    });
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_lists_become_entries_and_the_entries_the_four_lists() {
        let object = r#"{"tokens":["a"," b"],"token_logprobs":[null,-0.250],"top_logprobs":[null,{" b":-0.250," c":-1.50}],"text_offset":[0,1]}"#;
        let found = entries(object);
        assert_eq!(found[0], r#"{"token":"a","logprob":null,"text_offset":0}"#);
        let mut out = String::new();
        assert_eq!(write(&mut out, &found, 0), 3);
        assert_eq!(out, object);
    }

    #[test]
    fn offsets_that_nobody_told_are_counted_in_characters() {
        let mut out = String::new();
        let entries = [r#"{"token":"ä","logprob":-1}"#, r#"{"token":"b","logprob":-2}"#].map(str::to_owned);
        assert_eq!(write(&mut out, &entries, 5), 7);
        assert_eq!(
            out,
            r#"{"tokens":["ä","b"],"token_logprobs":[-1,-2],"top_logprobs":null,"text_offset":[5,6]}"#
        );
        assert_eq!(entries_of_nothing(), 0);
    }

    fn entries_of_nothing() -> usize {
        entries("null").len() + entries("[]").len() + entries(r#"{"tokens":null}"#).len()
    }
}
