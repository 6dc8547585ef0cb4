//! The line at which a key's value stands.
//!
//! The YAML reader gives a place only with an error. So the file is read once more, down the path to the value, and
//! there refused: the error carries the place, whatever style the file is written in.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into the mapping, at this key.
    Key(String),
    /// Into the list, at this index.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The line (from 1) of the value at `path`, or of the innermost value on the way that exists.
pub(super) fn locate(body: &str, path: &[Step]) -> Option<usize> {
    let found = Walk(path).deserialize(serde_yaml_ng::Deserializer::from_str(body));
    found.err()?.location().map(|location| location.line())
}

struct Walk<'a>(&'a [Step]);

const HERE: &str = "here";

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    /// Scalars of every kind end up here: the reader turns a refused visit into an error with a place.
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HERE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Step::Key(wanted), rest)) = self.0.split_first() {
            while let Some(key) = map.next_key::<String>()? {
                if key == *wanted {
                    return map.next_value_seed(Walk(rest));
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(A::Error::custom(HERE))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some((Step::Index(wanted), rest)) = self.0.split_first() {
            for _ in 0..*wanted {
                seq.next_element::<IgnoredAny>()?;
            }
            if seq.next_element_seed(Walk(rest))?.is_some() {
                return Ok(());
            }
        }
        Err(A::Error::custom(HERE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
name: a   # line 1
rules:
  - name: one
    match: { tenant: [x, y],
             model: m }
  - name: two
    set:
      # a comment

      pool: 'gpu'
";

    #[test]
    fn a_value_is_found_in_block_and_in_flow_style() {
        let cases: [(&[Step], usize); 8] = [
            (&["name".into()], 1),
            (&["rules".into(), 0.into(), "name".into()], 3),
            (
                &[
                    "rules".into(),
                    0.into(),
                    "match".into(),
                    "tenant".into(),
                    1.into(),
                ],
                4,
            ),
            (&["rules".into(), 0.into(), "match".into(), "model".into()], 5),
            (&["rules".into(), 1.into()], 6),
            (&["rules".into(), 1.into(), "set".into(), "pool".into()], 10),
            // What is missing stands where it should have been.
            (&["rules".into(), 1.into(), "match".into()], 6),
            (&["rules".into(), 7.into()], 3),
        ];
        for (path, line) in cases {
            assert_eq!(locate(FILE, path), Some(line), "{path:?}");
        }
    }
}
