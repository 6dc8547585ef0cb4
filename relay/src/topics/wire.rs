//! How what is asked crosses HTTP, from a command to the operators' listener of the process that has the log open. Pure.

use axum::http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

use super::ask::Ask;

/// Who asks, in their own words.
pub const USER: &str = "relay-user";
/// Which log is meant: device and number of its folder.
pub const LOG: &str = "relay-log";

/// What stays as it is in a path and in a query.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET` where nothing changes.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// JSON, or nothing.
    pub body: String,
}

/// The request that asks so.
pub fn asked(ask: &Ask) -> Asked {
    let get = |path: String| Asked {
        method: Method::GET,
        path,
        body: String::new(),
    };
    let post = |path: &str, body: &dyn Fn() -> Value| Asked {
        method: Method::POST,
        path: path.to_owned(),
        body: body().to_string(),
    };
    match ask {
        Ask::Offsets => get("/admin/topics".to_owned()),
        Ask::Apply(manifest) => post("/admin/topics/apply", &|| value(manifest)),
        Ask::Read(topic, read) => {
            let topic = utf8_percent_encode(topic, ESCAPED);
            get(format!("/admin/topics/{topic}/records{}", query(read)))
        }
        Ask::Letters(letters) => get(format!("/admin/dead-letters{}", query(letters))),
        Ask::Resend(selection) => post("/admin/dead-letters/resend", &|| value(selection)),
        Ask::Discard(selection) => post("/admin/dead-letters/discard", &|| value(selection)),
    }
}

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).expect("what is asked has texts for keys")
}

/// The fields that say something.
fn query(of: &impl Serialize) -> String {
    let Value::Object(fields) = value(of) else {
        return String::new();
    };
    let pairs = fields.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::Null | Value::Bool(false) => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (!text.is_empty()).then(|| format!("{name}={}", utf8_percent_encode(&text, ESCAPED)))
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::ask::{Letters, Places, Read, Selection};
    use super::*;

    #[test]
    fn what_changes_something_is_a_post_and_content_is_asked_for_by_name() {
        let read = |content| Read {
            newest: Some(5),
            follow: false,
            content,
        };
        let path = |ask: &Ask| asked(ask).path;
        assert_eq!(
            path(&Ask::Read("a/b".to_owned(), read(false))),
            "/admin/topics/a%2Fb/records?newest=5"
        );
        assert_eq!(
            path(&Ask::Read("t".to_owned(), read(true))),
            "/admin/topics/t/records?newest=5&content=true"
        );
        let letters = Letters {
            named: Places(vec![
                "0/1".parse().expect("a place"),
                "0/2".parse().expect("a place"),
            ]),
            tenant: Some("a b&c".to_owned()),
            ..Letters::default()
        };
        assert_eq!(
            path(&Ask::Letters(letters)),
            "/admin/dead-letters?named=0%2F1%2C0%2F2&tenant=a%20b%26c"
        );
        let selection = Selection::default();
        for ask in [
            Ask::Offsets,
            Ask::Letters(Letters::default()),
            Ask::Resend(selection.clone()),
            Ask::Discard(selection),
        ] {
            assert_eq!(asked(&ask).method == Method::POST, ask.changes(), "{ask:?}");
        }
    }
}
