//! JSON Schemas of files, for editors.
//!
//! They are made by asking the reader itself, value by value, what it would read there. So they know every key that the reader
//! takes and no other, and nothing has to be written beside it. `schemars` derives them beside the reader instead: it does not know
//! our tags (`kind: kafka`), and each duration, size, bound and place would need words of its own that could say something else.

mod ended;
mod filler;
mod probe;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use self::ended::Ended;
use self::probe::{Asked, End, Fed, Noted, Probe, Step};
use crate::read::A_DURATION;

/// Texts that are tried in turn where it is to be seen what else is needed.
const TEXTS: [&str; 2] = ["x", "http://x"];
/// A key that no mapping has.
const STRANGER: &str = "no such key";
/// A number of a unit, again and again; or 0.
const DURATION: &str = r"^\s*(\d+\s*[A-Za-zµ]+\s*)+$|^0$";
/// Where a variable is put in.
const REFERENCE: &str = r"\$\{";

/// What is said of a key, with those above it (`bus[kafka].brokers` for what stands beside `kind: kafka`).
pub trait Describe {
    /// For people who look at it in an editor.
    fn describe(&self, key: &str) -> Option<String>;
}

/// What a `T` looks like in a file. Where `has_variables` says so, `${NAME}` may stand for any value.
pub fn schema<T: DeserializeOwned>(title: &str, has_variables: bool, words: &dyn Describe) -> Value {
    let read = |probe: Probe<'_>| T::deserialize(probe).map(drop);
    let schema = Schema {
        read: &read,
        has_variables,
        words,
    };
    let Value::Object(body) = schema.at(&mut Vec::new(), "") else {
        unreachable!("every type gives a schema")
    };
    let mut whole = Map::new();
    whole.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    whole.insert("title".to_owned(), json!(title));
    whole.extend(body);
    Value::Object(whole)
}

struct Schema<'s> {
    read: &'s dyn Fn(Probe<'_>) -> Result<(), Ended>,
    has_variables: bool,
    words: &'s dyn Describe,
}

impl Schema<'_> {
    fn at(&self, way: &mut Vec<Step>, key: &str) -> Value {
        let noted = self.ask(way, End::Ask);
        let optional = noted.optional.get();
        let asked = noted.asked.into_inner();
        let mut body = match asked {
            None | Some(Asked::Nothing) => json!({ "type": "null" }),
            Some(Asked::Bool) => self.single(&json!("boolean"), json!({})),
            Some(Asked::Number) => self.single(&json!("number"), json!({})),
            Some(Asked::Whole { least, most }) => self.single(&json!("integer"), range(least, most)),
            Some(Asked::Text(expected)) => self.text(&expected),
            Some(Asked::Any(expected)) => self.any(way, key, &expected),
            Some(Asked::List) => {
                json!({ "type": ["array", "null"], "items": self.below(way, Step::Item, key) })
            }
            Some(Asked::Map) => {
                let value = self.below(way, Step::Entry, &format!("{key}.*"));
                json!({ "type": ["object", "null"], "additionalProperties": value })
            }
            Some(Asked::Struct(fields)) => self.mapping(way, key, fields),
            Some(Asked::Enum(None, words)) => self.word(words),
            Some(Asked::Enum(Some(tag), variants)) => {
                let variants = variants
                    .iter()
                    .map(|variant| self.variant(way, key, tag, variant));
                json!({ "type": "object", "required": [tag], "oneOf": variants.collect::<Vec<_>>() })
            }
        };
        if optional {
            or_null(&mut body);
        }
        if let (Some(said), Value::Object(body)) = (self.words.describe(key), &mut body) {
            body.insert("description".to_owned(), json!(said));
        }
        body
    }

    fn below(&self, way: &mut Vec<Step>, step: Step, key: &str) -> Value {
        way.push(step);
        let below = self.at(way, key);
        way.pop();
        below
    }

    /// What is noted at the end of the way. What comes of it above that is no matter.
    fn ask(&self, way: &[Step], end: End<'_>) -> Noted {
        let noted = Noted::default();
        let probe = Probe {
            way,
            end,
            noted: &noted,
        };
        let _: Result<(), Ended> = (self.read)(probe);
        noted
    }

    /// What is written without quotes, or a variable.
    fn single(&self, kind: &Value, more: Value) -> Value {
        let kind = if self.has_variables {
            json!([kind, "string"])
        } else {
            kind.clone()
        };
        let mut body = json!({ "type": kind });
        if self.has_variables {
            body["pattern"] = json!(REFERENCE);
        }
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        body
    }

    fn text(&self, expected: &str) -> Value {
        if expected != A_DURATION {
            // Whatever stands there is read as text.
            return json!({ "type": ["string", "number", "boolean"] });
        }
        let pattern = if self.has_variables {
            format!("{DURATION}|{REFERENCE}")
        } else {
            DURATION.to_owned()
        };
        json!({ "type": ["string", "integer"], "maximum": 0, "pattern": pattern })
    }

    fn word(&self, words: &[&str]) -> Value {
        if self.has_variables {
            return json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": REFERENCE }] });
        }
        json!({ "enum": words })
    }

    /// Where several kinds of value may stand, it is seen which.
    fn any(&self, way: &mut Vec<Step>, key: &str, expected: &str) -> Value {
        let ended = |fed| self.ask(way, End::Feed(fed)).ended.into_inner();
        let takes = |fed| ended(fed) == Some(Ok(()));
        // A text may be refused for what it says; the others are what is taken everywhere.
        let is_text = ended(Fed::Text).is_some_and(|ended| ended != Err(Ended::WrongKind));
        let fields = match ended(Fed::Map(&[STRANGER])) {
            Some(Err(Ended::Unknown(fields))) => Some(fields),
            _ => None,
        };
        let kinds = [
            ("string", is_text),
            ("integer", takes(Fed::Whole(0)) || takes(Fed::Whole(1))),
            ("number", takes(Fed::Number)),
            ("boolean", takes(Fed::Bool)),
            ("array", takes(Fed::List)),
            ("null", takes(Fed::Nothing)),
        ];
        let kinds: Vec<&str> = kinds
            .into_iter()
            .filter(|(_, is_taken)| *is_taken)
            .map(|(kind, _)| kind)
            .collect();
        let mut body = json!({ "type": kinds, "description": expected });
        if kinds.contains(&"array") {
            body["items"] = self.below(way, Step::Item, key);
        }
        match fields {
            Some(fields) => json!({ "anyOf": [self.mapping(way, key, fields), body] }),
            None => body,
        }
    }

    fn mapping(&self, way: &mut Vec<Step>, key: &str, fields: &[&'static str]) -> Value {
        let required = self.required(way);
        let mut properties = Map::new();
        for field in fields {
            let key = if key.is_empty() {
                (*field).to_owned()
            } else {
                format!("{key}.{field}")
            };
            properties.insert((*field).to_owned(), self.below(way, Step::Key(field), &key));
        }
        let mut body = json!({
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": false,
        });
        if !required.is_empty() {
            body["type"] = json!("object");
            body["required"] = json!(required);
        }
        body
    }

    /// The keys without which the mapping is refused.
    fn required(&self, way: &[Step]) -> Vec<&'static str> {
        let mut required = Vec::new();
        loop {
            let lacks = TEXTS.iter().find_map(|text| {
                let noted = self.ask(way, End::Keys(&required, text));
                match noted.ended.into_inner() {
                    Some(Err(Ended::Missing(key))) if !required.contains(&key) => Some(key),
                    _ => None,
                }
            });
            let Some(key) = lacks else { return required };
            required.push(key);
        }
    }

    fn variant(&self, way: &mut Vec<Step>, key: &str, tag: &str, variant: &'static str) -> Value {
        let mut body = self.below(way, Step::Variant(variant), &format!("{key}[{variant}]"));
        let mut properties = Map::new();
        properties.insert(tag.to_owned(), json!({ "const": variant }));
        if let Some(Value::Object(own)) = body.get("properties").cloned() {
            properties.extend(own);
        }
        body["type"] = json!("object");
        body["properties"] = Value::Object(properties);
        body
    }
}

fn range(least: i128, most: i128) -> Value {
    let mut range = json!({});
    let bounds = [("minimum", least), ("maximum", most)];
    for (name, bound) in bounds {
        // Editors count in floating point.
        if bound.unsigned_abs() <= u128::from(u32::MAX)
            && let Ok(bound) = i64::try_from(bound)
        {
            range[name] = json!(bound);
        }
    }
    range
}

fn or_null(body: &mut Value) {
    let nothing = json!("null");
    match body.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&nothing) => kinds.push(nothing),
        Some(kind @ Value::String(_)) => *kind = Value::Array(vec![kind.take(), nothing]),
        Some(_) => {}
        None => *body = json!({ "anyOf": [body.take(), { "type": "null" }] }),
    }
}
