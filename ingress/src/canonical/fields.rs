//! Typed access to the fields of a body, with errors that name the path, what was expected and what was found.

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// What a value is, in words; never its content.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The members of an object. Null counts as absent, as `OpenAI`'s own clients send it.
pub struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    pub fn new(members: &'a Map<String, Value>) -> Self {
        Self(members)
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn required(&self, name: &'static str) -> Result<&'a Value, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::invalid(
                "missing_required_parameter",
                Some(name),
                format!("`{name}` is missing; a chat completion needs `model` and `messages`"),
            )
        })
    }

    pub fn required_text(&self, name: &'static str) -> Result<&'a str, Refusal> {
        let value = self.required(name)?;
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::wrong_type(name, "a non-empty string", kind(value)))
    }

    pub fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        self.typed(name, "a string", Value::as_str)
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        self.typed(name, "an object", Value::as_object)
    }

    pub fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
        self.typed(name, "a list", Value::as_array)
    }

    pub fn number(&self, name: &str, least: f64, most: f64) -> Result<Option<f64>, Refusal> {
        match self.typed(name, "a number", Value::as_f64)? {
            Some(number) if !(least..=most).contains(&number) => Err(Refusal::invalid(
                "invalid_value",
                Some(name),
                format!("`{name}` must lie between {least} and {most}"),
            )),
            number => Ok(number),
        }
    }

    /// A whole number from 1 that fits a token count.
    pub fn count(&self, name: &str) -> Result<Option<u32>, Refusal> {
        let expected = "a whole number from 1";
        let whole = |value: &'a Value| value.as_u64().or_else(|| whole_double(value));
        match self.typed(name, expected, whole)? {
            None => Ok(None),
            Some(number) => match u32::try_from(number) {
                Ok(count) if count > 0 && i32::try_from(count).is_ok() => Ok(Some(count)),
                _ => Err(Refusal::invalid(
                    "invalid_value",
                    Some(name),
                    format!("`{name}` must be {expected} to {}", i32::MAX),
                )),
            },
        }
    }

    /// A whole number that a double holds exactly, so that its canonical form is itself.
    pub fn seed(&self, name: &str) -> Result<(), Refusal> {
        let exact = |value: &'a Value| value.as_i64().filter(|seed| seed.unsigned_abs() <= 1 << 53);
        self.typed(name, "a whole number between -2^53 and 2^53", exact)
            .map(|_| ())
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(typed) => Ok(Some(typed)),
                None => Err(Refusal::wrong_type(name, expected, kind(value))),
            },
        }
    }
}

/// `16.0` is a whole number too: some languages know no other kind.
fn whole_double(value: &Value) -> Option<u64> {
    value
        .as_f64()
        .filter(|double| double.fract() == 0.0 && (0.0..1e15).contains(double))
        .map(|double| double as u64)
}
