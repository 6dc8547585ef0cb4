//! A value that knows where it stands, for checks that need more than the value itself.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::mistake::{Mark, Mistake};

/// The name by which [`Spanned`] asks the reader for its place.
pub(crate) const SPANNED: &str = "$relay_settings::Spanned";

/// Where a value stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Line and column.
    pub mark: Mark,
    /// The key, with those above it.
    pub key: String,
}

impl Place {
    /// A mistake of the value that stands here.
    pub fn mistake(&self, problem: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        Mistake::new(self.mark, &self.key, problem, remedy)
    }

    /// What travels through serde.
    pub(crate) fn encoded(&self) -> String {
        format!("{}:{}:{}", self.mark.line, self.mark.column, self.key)
    }

    fn decoded(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let mark = Mark {
            line: parts.next()?.parse().ok()?,
            column: parts.next()?.parse().ok()?,
        };
        let key = parts.next()?.to_owned();
        Some(Self { mark, key })
    }
}

/// A value and where it stands. Two are equal where their values are.
#[derive(Clone, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceAndValue<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PlaceAndValue<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Spanned<T>, A::Error> {
                let missing = || A::Error::custom("a place comes with its value");
                let place: String = seq.next_element()?.ok_or_else(missing)?;
                let place = Place::decoded(&place).ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(Spanned { value, place })
            }

            /// Readers of other formats know no places.
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Spanned<T>, D::Error> {
                let place = Place::default();
                T::deserialize(inner).map(|value| Spanned { value, place })
            }
        }

        deserializer.deserialize_newtype_struct(SPANNED, PlaceAndValue(PhantomData))
    }
}
