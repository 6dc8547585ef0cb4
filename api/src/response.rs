//! What all responses share: their head, their usage, and the fields that came along.

use std::fmt::{self, Write};

use relay_schemas::{Choice, Delta, Final, Operation};

use crate::json::write_string;
use crate::raw::Object;

/// Which answer this is.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The model asked for: its public name, whichever model ran.
    pub model: &'a str,
    /// When it was accepted, seconds since 1970.
    pub created: i64,
}

/// Writes what stands at the beginning of every answer and every chunk, up to and without `choices`.
pub(crate) fn head(out: &mut String, operation: Operation, object: &str, facts: Facts<'_>) {
    let prefix = match operation {
        Operation::Chat => "chatcmpl-",
        Operation::Completion => "cmpl-",
        Operation::Embedding => "embd-",
    };
    out.push_str(r#"{"id":""#);
    out.push_str(prefix);
    out.push_str(facts.request_id);
    out.push_str(r#"","object":""#);
    out.push_str(object);
    out.push_str(r#"","created":"#);
    out.push_str(&facts.created.to_string());
    out.push_str(r#","model":"#);
    write_string(out, facts.model);
}

/// The answer with `choices`, each written by `write`, as one object.
pub(crate) fn answer(
    operation: Operation,
    object: &str,
    facts: Facts<'_>,
    end: &Final,
    choices: &[Choice],
    write: impl FnMut(&mut String, &Choice),
) -> String {
    let texts = choices.iter().filter_map(|choice| choice.message.text.as_deref());
    let mut out = String::with_capacity(512 + texts.map(str::len).sum::<usize>());
    head(&mut out, operation, object, facts);
    out.push_str(r#","choices":["#);
    list(&mut out, choices, write);
    out.push_str(r#"],"usage":"#);
    usage(&mut out, end);
    came_along(&mut out, end.extra.as_deref());
    out.push('}');
    out
}

/// Writes what came along with an answer or a chunk, behind everything else.
pub(crate) fn came_along(out: &mut String, extra: Option<&str>) {
    members(
        out,
        extra,
        &["id", "object", "created", "model", "choices", "usage"],
    );
}

/// Whether there is more to it than that its choice ended.
pub(crate) fn says_something(delta: &Delta) -> bool {
    let end = Delta {
        index: delta.index,
        finish_reason: delta.finish_reason,
        ..Delta::default()
    };
    *delta != end
}

/// Writes the usage object, with the details that an endpoint counted.
pub(crate) fn usage(out: &mut String, end: &Final) {
    let (prompt, completion) = (end.usage.prompt_tokens.0, end.usage.completion_tokens.0);
    let total = u64::from(prompt) + u64::from(completion);
    put(
        out,
        format_args!(r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}"#),
    );
    members(
        out,
        end.usage_details.as_deref(),
        &["prompt_tokens", "completion_tokens", "total_tokens"],
    );
    out.push('}');
}

/// Writes the members of `extra` behind others, but for those that are `written` already.
pub(crate) fn members(out: &mut String, extra: Option<&str>, written: &[&str]) {
    let Some(extra) = extra.and_then(|extra| Object::parse(extra).ok()) else {
        return;
    };
    for (name, value) in extra.iter().filter(|(name, _)| !written.contains(name)) {
        out.push(',');
        write_string(out, name);
        out.push(':');
        out.push_str(value);
    }
}

/// Writes what is formatted.
pub(crate) fn put(out: &mut String, what: fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a String takes everything");
}

/// Writes a text, or null.
pub(crate) fn optional(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.push_str("null"),
    }
}

/// Writes `items` with commas between them.
pub(crate) fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut String, T),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
}
