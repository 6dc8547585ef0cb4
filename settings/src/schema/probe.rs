//! Asks a type what it reads: it is led along a way, and at its end it is noted what it asks for.

use std::cell::{Cell, RefCell};

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::ended::Ended;
use super::filler::Filler;

/// One step of the way to a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Key(&'static str),
    /// The value of a mapping's entry, whatever its key.
    Entry,
    Item,
    Variant(&'static str),
}

/// What a type asks for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    Bool,
    Whole {
        least: i128,
        most: i128,
    },
    Number,
    /// Told by what it expects.
    Text(String),
    /// Whatever it is; what it expects.
    Any(String),
    List,
    Map,
    Struct(&'static [&'static str]),
    /// With the key that tells it, where one does.
    Enum(Option<&'static str>, &'static [&'static str]),
    Nothing,
}

/// What is given at the end of the way.
#[derive(Debug, Clone, Copy)]
pub(super) enum End<'p> {
    /// Nothing: it is noted what was asked for.
    Ask,
    /// Where anything may stand: this.
    Feed(Fed),
    /// These keys alone, whose values hold this text.
    Keys(&'p [&'static str], &'static str),
}

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    Nothing,
    Text,
    Whole(u64),
    Number,
    Bool,
    List,
    /// With these keys.
    Map(&'static [&'static str]),
}

type Read<T> = Result<T, Ended>;

const FILLER: Filler = Filler { text: "x" };

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub asked: RefCell<Option<Asked>>,
    pub optional: Cell<bool>,
    /// What came of what was given.
    pub ended: RefCell<Option<Read<()>>>,
}

#[derive(Clone, Copy)]
pub(super) struct Probe<'p> {
    pub way: &'p [Step],
    pub end: End<'p>,
    pub noted: &'p Noted,
}

impl Probe<'_> {
    fn note<T>(self, asked: Asked) -> Read<T> {
        self.noted.asked.replace(Some(asked));
        Err(Ended::Here)
    }

    /// Notes what came of what was given, after which nothing is to be learnt any more.
    fn given<T, U>(self, read: Read<T>) -> Read<U> {
        self.noted.ended.replace(Some(read.map(drop)));
        Err(Ended::Here)
    }

    /// The next step, and what comes after it.
    fn step(self) -> Option<(Step, Self)> {
        let (step, way) = self.way.split_first()?;
        Some((*step, Self { way, ..self }))
    }
}

macro_rules! whole {
    ($($method:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
            self.note(Asked::Whole { least: <$type>::MIN.into(), most: <$type>::MAX.into() })
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            self.note(Asked::Text(expected(&visitor)))
        }
    )*};
}

fn expected<'de>(visitor: &impl Visitor<'de>) -> String {
    let expected: &dyn Expected = visitor;
    expected.to_string()
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Ended;

    whole! {
        deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64,
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64,
    }

    text! { deserialize_str deserialize_string deserialize_char deserialize_identifier deserialize_bytes deserialize_byte_buf }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match (self.step(), self.end) {
            (Some((Step::Item, rest)), _) => visitor.visit_seq(One::item(rest)),
            (Some((Step::Key(key), rest)), _) => visitor.visit_map(One::entry(key, rest)),
            (Some((_, rest)), _) => visitor.visit_map(One::entry("x", rest)),
            (None, End::Keys(keys, text)) => self.given(visitor.visit_map(Filler { text }.entries(keys))),
            (None, End::Feed(fed)) => self.given::<V::Value, _>(match fed {
                Fed::Text => visitor.visit_str("x"),
                Fed::Nothing => visitor.visit_unit(),
                Fed::Whole(number) => visitor.visit_u64(number),
                Fed::Number => visitor.visit_f64(0.5),
                Fed::Bool => visitor.visit_bool(true),
                Fed::List => visitor.visit_seq(FILLER.entries(&[""])),
                Fed::Map(keys) => visitor.visit_map(FILLER.entries(keys)),
            }),
            (None, End::Ask) => self.note(Asked::Any(expected(&visitor))),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
        self.note(Asked::Bool)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
        self.note(Asked::Number)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
        self.note(Asked::Number)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.way.is_empty() {
            self.noted.optional.set(true);
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Read<V::Value> {
        self.note(Asked::Nothing)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Read<V::Value> {
        self.note(Asked::Nothing)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.step() {
            Some((_, rest)) => visitor.visit_seq(One::item(rest)),
            None => self.note(Asked::List),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        match self.step() {
            Some((_, rest)) => visitor.visit_map(One::entry("x", rest)),
            None => self.note(Asked::Map),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        match (self.step(), self.end) {
            (Some((Step::Key(key), rest)), _) => visitor.visit_map(One::entry(key, rest)),
            (None, End::Keys(keys, text)) => self.given(visitor.visit_map(Filler { text }.entries(keys))),
            _ => self.note(Asked::Struct(fields)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        if let Some((Step::Variant(variant), rest)) = self.step() {
            return visitor.visit_enum(Inside { variant, rest });
        }
        let is_key = name.starts_with(|c: char| c.is_ascii_lowercase());
        self.note(Asked::Enum(is_key.then_some(name), variants))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}

/// One entry, or one item.
struct One<'p> {
    key: &'static str,
    rest: Probe<'p>,
    is_left: bool,
}

impl<'p> One<'p> {
    fn entry(key: &'static str, rest: Probe<'p>) -> Self {
        let is_left = true;
        Self { key, rest, is_left }
    }

    fn item(rest: Probe<'p>) -> Self {
        Self::entry("", rest)
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Ended;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        if !std::mem::take(&mut self.is_left) {
            return Ok(None);
        }
        let key: StrDeserializer<'_, Ended> = self.key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        seed.deserialize(self.rest)
    }
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Ended;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        if !std::mem::take(&mut self.is_left) {
            return Ok(None);
        }
        seed.deserialize(self.rest).map(Some)
    }
}

/// What is inside of a variant.
struct Inside<'p> {
    variant: &'static str,
    rest: Probe<'p>,
}

impl<'de, 'p> EnumAccess<'de> for Inside<'p> {
    type Error = Ended;
    type Variant = Probe<'p>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Read<(V::Value, Probe<'p>)> {
        let variant: StrDeserializer<'_, Ended> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self.rest))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Ended;

    fn unit_variant(self) -> Read<()> {
        self.note(Asked::Struct(&[]))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Read<V::Value> {
        self.deserialize_struct("", fields, visitor)
    }
}
