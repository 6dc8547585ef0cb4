//! The view of a body that its hash is made of.
//!
//! Two bodies with one hash get one answer from the cache, so nothing that may change an answer is left out or made equal: of
//! the body everything counts as it was written, the order of what lies below messages included (the order of a tool's
//! parameters may change an answer), numbers digit by digit. Only white space, the way in which strings are escaped, and the
//! order of the members of the body and of its messages do not count; nor do the members that say how an answer travels or who
//! asks ([`LEFT_OUT`]).

use relay_schemas::Operation;
use sha2::{Digest, Sha256};

use crate::raw::Object;

/// Members that say how the answer travels, or who asks, not what it is.
pub const LEFT_OUT: [&str; 8] = [
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// The view of `body`, a compact object without what is left out. `defaults` are members that count where the body has none.
///
/// # Panics
/// Never: the body was read as an object before.
pub fn view(body: &Object<'_>, defaults: &[(&str, String)]) -> String {
    let set = |name: &str| body.get(name).is_some_and(|value| value != "null");
    let mut members: Vec<(&str, &str)> = body.iter().filter(|(name, _)| !LEFT_OUT.contains(name)).collect();
    for (name, value) in defaults.iter().filter(|(name, _)| !set(name)) {
        members.retain(|(known, _)| known != name);
        members.push((name, value));
    }
    let length: usize = members
        .iter()
        .map(|(name, value)| name.len() + value.len() + 8)
        .sum();
    let mut out = String::with_capacity(length + 2);
    sorted(&mut out, members, |out, name, value| {
        if name == "messages" {
            messages(out, value);
        } else {
            out.push_str(value);
        }
    });
    out
}

/// SHA-256 of the operation and the view, 64 lower-case hexadecimal digits.
pub fn hash(operation: Operation, view: &str) -> String {
    let mut hash = Sha256::new();
    hash.update("relay.request.v1\n");
    hash.update(operation.name());
    hash.update("\n");
    hash.update(view);
    format!("{:x}", hash.finalize())
}

fn messages(out: &mut String, list: &str) {
    // A chat's are objects; elsewhere they may be anything.
    let Ok(messages) = serde_json::from_str::<Vec<Object<'_>>>(list) else {
        return out.push_str(list);
    };
    out.push('[');
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        sorted(out, message.iter().collect(), |out, _, value| out.push_str(value));
    }
    out.push(']');
}

fn sorted(out: &mut String, mut members: Vec<(&str, &str)>, write: impl Fn(&mut String, &str, &str)) {
    members.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        crate::json::write_string(out, name);
        out.push(':');
        write(out, name, value);
    }
    out.push('}');
}
