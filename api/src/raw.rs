//! A JSON object whose members are kept as the text in which they came, in the order in which they came.
//!
//! So numbers of any size stay as they were written, and what nobody looks at is never read.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// An ordered JSON object of raw members. No name stands in it twice.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
}

impl<'a> Object<'a> {
    /// The object that `text` is.
    ///
    /// # Errors
    /// If it is no JSON object, or names a member twice.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text of the member `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.get())
    }

    /// Sets the member `name`: where it stands, or at the end.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: Cow<'a, RawValue>) {
        let name = name.into();
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((name, value)),
        }
    }

    /// Sets the member `name` to what `value` serialises as.
    ///
    /// # Errors
    /// If it cannot be serialised.
    pub fn put(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), serde_json::Error> {
        self.set(name, Cow::Owned(to_raw_value(value)?));
        Ok(())
    }

    /// Takes the member `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, RawValue>> {
        let at = self.members.iter().position(|(known, _)| known == name)?;
        Some(self.members.remove(at).1)
    }

    /// Keeps the members whose names and texts `wanted` wants.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str, &str) -> bool) {
        self.members.retain(|(name, value)| wanted(name, value.get()));
    }

    /// The members whose names and texts `wanted` wants, borrowed.
    pub fn select(&self, wanted: impl Fn(&str, &str) -> bool) -> Object<'_> {
        let members = self.members.iter();
        let members = members.filter(|(name, value)| wanted(name, value.get()));
        Object {
            members: members
                .map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value)))
                .collect(),
        }
    }

    /// Names and texts of all members, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (&**name, value.get()))
    }

    /// The same, with the texts as raw values.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.members.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The object as JSON, without white space between its own members.
    ///
    /// # Panics
    /// Never: its members are valid JSON already.
    pub fn to_json(&self) -> String {
        // Quotes, colon and comma, and some for what is escaped in a name.
        let length = |(name, value): (&str, &str)| name.len() + value.len() + 8;
        let mut text = Vec::with_capacity(2 + self.iter().map(length).sum::<usize>());
        serde_json::to_writer(&mut text, self).expect("its members are JSON already");
        String::from_utf8(text).expect("JSON is text")
    }

    /// The same, borrowing nothing.
    pub fn into_owned(self) -> Object<'static> {
        let own = |(name, value): (Cow<'a, str>, Cow<'a, RawValue>)| {
            (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
        };
        Object {
            members: self.members.into_iter().map(own).collect(),
        }
    }
}

/// `text` as a raw value.
///
/// # Errors
/// If it is no JSON.
pub fn value(text: String) -> Result<Cow<'static, RawValue>, serde_json::Error> {
    RawValue::from_string(text).map(Cow::Owned)
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.members.len()))?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members)
    }
}

/// So many members are looked through for a name; more are hashed.
const FEW: usize = 16;

struct Members;

/// A name, borrowed where it holds no escape.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut seen = HashSet::new();
        let mut members: Vec<(Cow<'de, str>, Cow<'de, RawValue>)> = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            // Nearly all objects are small, and looked through faster than hashed.
            let is_there = if members.len() < FEW {
                members.iter().any(|(known, _)| *known == name)
            } else {
                if seen.is_empty() {
                    seen.extend(members.iter().map(|(known, _)| known.clone()));
                }
                !seen.insert(name.clone())
            };
            if is_there {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            let value: &RawValue = map.next_value()?;
            members.push((name, Cow::Borrowed(value)));
        }
        Ok(Object { members })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_stay_as_they_were_written_and_where_they_stood() {
        let text = r#"{ "b" : 9007199254740993, "a":1e400,"c\u0041":{ "x": [1.0, 1.00] } }"#;
        let object = Object::parse(text).expect("an object");
        let expected = r#"{"b":9007199254740993,"a":1e400,"cA":{ "x": [1.0, 1.00] }}"#;
        assert_eq!(object.to_json(), expected);
        assert_eq!(object.get("a"), Some("1e400"));
        assert_eq!(object.get("nothing"), None);
    }

    #[test]
    fn a_member_is_replaced_where_it_stands_and_added_at_the_end() {
        let mut object = Object::parse(r#"{"a":1,"b":2,"c":3}"#).expect("an object");
        object.put("b", "two").expect("a text");
        object.put("d", &4).expect("a number");
        assert!(object.remove("a").is_some());
        assert!(object.remove("a").is_none());
        object.retain(|name, _| name != "c");
        assert_eq!(object.to_json(), r#"{"b":"two","d":4}"#);
        assert_eq!(object.into_owned().to_json(), r#"{"b":"two","d":4}"#);
    }

    #[test]
    fn what_is_no_object_or_names_a_member_twice_is_refused() {
        for text in ["", "[]", "null", "{", r#"{"a":}"#, r#"{"a":1} x"#] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
        let twice = Object::parse(r#"{"a":1,"\u0061":2}"#).expect_err("twice");
        assert!(twice.to_string().contains("`a` is there twice"), "{twice}");
        for members in [FEW - 1, FEW, FEW + 1, 5 * FEW] {
            let named: Vec<String> = (0..members).map(|at| format!("\"m{at}\":1")).collect();
            let text = |more: &str| format!("{{{}{more}}}", named.join(","));
            assert!(Object::parse(&text("")).is_ok(), "{members}");
            for again in [0, members / 2, members - 1] {
                let twice = text(&format!(",\"m{again}\":2"));
                assert!(Object::parse(&twice).is_err(), "{again} of {members}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(members in proptest::collection::btree_map(".{0,5}", any::<i128>(), 0..6)) {
            let mut object = Object::default();
            for (name, number) in &members {
                object.set(name.clone(), value(number.to_string()).expect("a number"));
            }
            let text = object.to_json();
            let again = Object::parse(&text).expect("an object");
            prop_assert_eq!(again.to_json(), text.clone());
            prop_assert_eq!(again.iter().count(), members.len());
        }
    }
}
