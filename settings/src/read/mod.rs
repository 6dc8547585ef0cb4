//! The tree as serde reads it. Every refusal gets the place of the value that was refused.
//!
//! An enum whose serde name is in lower case is told by a key of that name: with `#[serde(rename = "kind")]`, the mapping
//! `{kind: kafka, brokers: …}` is the variant `kafka` of what else the mapping says. serde's own `tag = "kind"` buffers the
//! mapping and loses its places.

mod access;
mod fault;
mod reader;

use serde::de::{DeserializeOwned, Deserializer, Expected, Visitor};

use self::access::{Entries, Items, PlaceThenValue, Variant};
pub(crate) use self::fault::A_DURATION;
use self::fault::{Fault, Read, lacking};
use self::reader::Reader;
use crate::keys::one_of;
use crate::mistake::Mistake;
use crate::node::{Node, Path, Value};
use crate::scalar::{self, Plain};
use crate::spanned::SPANNED;

/// Units that `humantime` takes and that no setting means: `1M` is a month, a letter away from a minute.
const VAGUE_UNITS: [&str; 8] = ["M", "month", "months", "y", "yr", "yrs", "year", "years"];

fn has_vague_unit(duration: &str) -> bool {
    let mut units = duration.split(|char: char| !char.is_alphabetic());
    units.any(|unit| VAGUE_UNITS.contains(&unit))
}

pub(crate) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Mistake> {
    let reader = Reader {
        node: root,
        path: &Path::Root,
        without: None,
    };
    T::deserialize(reader).map_err(|fault| fault.placed(reader.node, reader.path))
}

macro_rules! whole {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            let number = self.whole::<$type>(<$type>::MIN.into(), <$type>::MAX.into())?;
            self.place(visitor.$visit(number))
        }
    )*};
}

macro_rules! text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
            self.place(visitor.visit_borrowed_str(&self.scalar("text")?.text))
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let scalar = match &self.node.value {
            Value::Scalar(scalar) => scalar,
            Value::List(_) | Value::Removed => return self.deserialize_seq(visitor),
            Value::Map(_) => return self.deserialize_map(visitor),
        };
        if scalar.is_null() {
            return self.place(visitor.visit_unit());
        }
        // What a variable holds is what the field makes of it.
        if !scalar.plain || scalar.written.is_some() {
            return self.place(visitor.visit_borrowed_str(&scalar.text));
        }
        self.place(match scalar::plain(&scalar.text) {
            Plain::Bool(bool) => visitor.visit_bool(bool),
            Plain::Whole(whole) => match (u64::try_from(whole), i64::try_from(whole)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(whole),
            },
            Plain::Number(number) => visitor.visit_f64(number),
            Plain::Text => visitor.visit_borrowed_str(&scalar.text),
        })
    }

    whole! {
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
    }

    text! { deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let scalar = self.scalar("text")?;
        let expected: &dyn Expected = &visitor;
        if expected.to_string() == A_DURATION && has_vague_unit(&scalar.text) {
            let problem = format!(
                "`{}` counts months or years, which are not all as long",
                scalar.shown()
            );
            return self.refuse(problem, "write minutes as `m`, and longer times in days: 30d");
        }
        self.place(visitor.visit_borrowed_str(&scalar.text))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let bool = self.plain("true or false", scalar::bool)?;
        self.place(visitor.visit_bool(bool))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let number = self.number()?;
        self.place(visitor.visit_f64(number))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        let read = if self.node.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        };
        self.place(read)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        if self.node.is_null() {
            return self.place(visitor.visit_unit());
        }
        self.refuse(format!("is {}, where nothing may stand", self.node.kind()), "")
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Read<V::Value> {
        self.place(match name {
            SPANNED => visitor.visit_seq(PlaceThenValue::new(self)),
            _ => visitor.visit_newtype_struct(self),
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.place(visitor.visit_seq(Items::of(self)?))
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
        let read = visitor.visit_map(Entries::of(self)?);
        read.map_err(|fault| Fault::from(fault.placed(self.node, self.path)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<V::Value> {
        let tagged = name.starts_with(|c: char| c.is_ascii_lowercase());
        let variant = match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() && !tagged => Variant::alone(self),
            Value::Map(entries) if tagged => {
                let Some((_, tag)) = entries.iter().find(|(key, _)| key.name() == name) else {
                    let remedy = format!("use {}", one_of(variants));
                    return Err(lacking(name, self.node, self.path, &remedy).into());
                };
                Variant::tagged(self, name, tag)
            }
            _ if tagged => return self.wrong_kind("a mapping"),
            _ => return self.wrong_kind(&one_of(variants)),
        };
        self.place(visitor.visit_enum(variant))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<V::Value> {
        visitor.visit_unit()
    }
}
