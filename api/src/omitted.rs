//! What of a request the endpoint that answers it was not sent, as the answer says beside its choices. Pure.

use crate::raw::Object;

/// Where it stands, a list of names.
pub const OMITTED: &str = "relay_omitted";

/// Whether an answer with `extra` at its top says so of `field`.
pub fn is_omitted(extra: &str, field: &str) -> bool {
    let extra = Object::parse(extra).unwrap_or_default();
    let names: Option<Vec<String>> = extra
        .get(OMITTED)
        .and_then(|names| serde_json::from_str(names).ok());
    names.is_some_and(|names| names.iter().any(|name| name == field))
}
