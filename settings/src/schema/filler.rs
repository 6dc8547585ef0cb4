//! Values that are good enough for most types, to see which keys are needed beside them.

use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::ended::Ended;
use crate::read::A_DURATION;
use crate::size::A_SIZE;

type Read<T> = Result<T, Ended>;

/// What expects this, or this and more, takes a number.
const A_NUMBER: &str = "a number";

/// Gives every text as `text`, every number as 1, and of everything else as much as there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filler {
    pub text: &'static str,
}

impl Filler {
    pub fn entries<'k>(self, keys: &'k [&'static str]) -> Filled<'k> {
        Filled {
            with: self,
            keys: keys.iter(),
        }
    }
}

macro_rules! one {
    ($($method:ident $visit:ident $value:expr),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            visitor.$visit($value)
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            let expected: &dyn Expected = &visitor;
            let expected = expected.to_string();
            visitor.visit_str(match expected.as_str() {
                A_DURATION => "1s",
                A_SIZE => "1KiB",
                _ => self.text,
            })
        }
    )*};
}

impl<'de> Deserializer<'de> for Filler {
    type Error = Ended;

    one! {
        deserialize_u8 visit_u8 1, deserialize_u16 visit_u16 1, deserialize_u32 visit_u32 1, deserialize_u64 visit_u64 1,
        deserialize_i8 visit_i8 1, deserialize_i16 visit_i16 1, deserialize_i32 visit_i32 1, deserialize_i64 visit_i64 1,
        deserialize_f32 visit_f32 1.0, deserialize_f64 visit_f64 1.0, deserialize_bool visit_bool false,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let expected: &dyn Expected = &visitor;
        if expected.to_string().starts_with(A_NUMBER) {
            return visitor.visit_u64(1);
        }
        self.deserialize_str(visitor)
    }

    text! { deserialize_str deserialize_string deserialize_char deserialize_identifier deserialize_bytes deserialize_byte_buf }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_seq(self.entries(&[""]))
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
        visitor.visit_map(self.entries(&["x"]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_map(self.entries(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        visitor.visit_enum(Variant(self, variants.first().copied().unwrap_or_default()))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}

/// Entries, or as many items.
pub(super) struct Filled<'k> {
    with: Filler,
    keys: slice::Iter<'k, &'static str>,
}

impl<'de> MapAccess<'de> for Filled<'_> {
    type Error = Ended;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let Some(key) = self.keys.next() else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Ended> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        seed.deserialize(self.with)
    }
}

impl<'de> SeqAccess<'de> for Filled<'_> {
    type Error = Ended;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        self.keys.next().map(|_| seed.deserialize(self.with)).transpose()
    }
}

struct Variant(Filler, &'static str);

impl<'de> EnumAccess<'de> for Variant {
    type Error = Ended;
    type Variant = Filler;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Read<(V::Value, Filler)> {
        let variant: StrDeserializer<'_, Ended> = self.1.into_deserializer();
        Ok((seed.deserialize(variant)?, self.0))
    }
}

impl<'de> VariantAccess<'de> for Filler {
    type Error = Ended;

    fn unit_variant(self) -> Read<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<T::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Read<V::Value> {
        visitor.visit_map(self.entries(fields))
    }
}
