//! The tree as serde reads it. Every refusal gets the place of the value that was refused.
//!
//! An enum whose serde name is in lower case is told by a key of that name: with `#[serde(rename = "kind")]`, the mapping
//! `{kind: kafka, brokers: …}` is the variant `kafka` of what else the mapping says. serde's own `tag = "kind"` buffers the
//! mapping and loses its places.

mod access;
mod fault;

use serde::de::{DeserializeOwned, Deserializer, Visitor};

use self::access::{Entries, Items, PlaceThenValue, Variant};
use self::fault::Fault;
use crate::mistake::Mistake;
use crate::node::{Node, Path, Scalar, Value};
use crate::scalar::{self, Plain};
use crate::spanned::{Place, SPANNED};

pub(crate) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Mistake> {
    let reader = Reader {
        node: root,
        path: &Path::Root,
        without: None,
    };
    T::deserialize(reader).map_err(|fault| fault.placed(reader))
}

/// A value to be read.
#[derive(Clone, Copy)]
struct Reader<'de, 'p> {
    node: &'de Node,
    path: &'p Path<'p>,
    /// The key that told the variant, which is none of the variant's own.
    without: Option<&'static str>,
}

type Read<T> = Result<T, Fault>;

impl<'de, 'p> Reader<'de, 'p> {
    /// Gives `done` the place of this value, unless it has one already. A key's place is its mapping's affair.
    fn place<T>(self, done: Read<T>) -> Read<T> {
        done.map_err(|fault| match fault {
            Fault::Key(..) => fault,
            fault => Fault::from(fault.placed(self)),
        })
    }

    fn refuse<T>(self, problem: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
        let key = self.path.to_string();
        Err(Fault::from(Mistake::new(self.node.mark, key, problem, remedy)))
    }

    fn wrong_kind<T>(self, needed: &str) -> Read<T> {
        if self.node.is_null() {
            return self.refuse("has no value", format!("{needed} is needed"));
        }
        self.refuse(format!("is {}, where {needed} is needed", self.node.kind()), "")
    }

    fn scalar(self, needed: &str) -> Read<&'de Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Ok(scalar),
            _ => self.wrong_kind(needed),
        }
    }

    /// A scalar that stands without quotes, in the words of `meaning`.
    fn plain<T>(self, needed: &str, meaning: impl Fn(&str) -> Option<T>) -> Read<T> {
        let scalar = self.scalar(needed)?;
        let meant = meaning(&scalar.text);
        match meant {
            Some(value) if scalar.plain => Ok(value),
            Some(_) => self.refuse(
                format!("is text, where {needed} is needed"),
                format!("remove the quotes: {}", scalar.shown()),
            ),
            None => self.refuse(format!("`{}` is not {needed}", scalar.shown()), ""),
        }
    }

    fn whole<T: TryFrom<i128>>(self, least: i128, most: i128) -> Read<T> {
        let needed = if most > i128::from(u32::MAX) {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        self.plain(&needed, |text| T::try_from(scalar::whole(text)?).ok())
    }

    fn number(self) -> Read<f64> {
        self.plain("a number", scalar::number)
    }

    fn entries(self) -> Read<Entries<'de, 'p>> {
        match &self.node.value {
            Value::Map(entries) => Ok(Entries::new(self, entries)),
            // A section with everything below it commented out.
            _ if self.node.is_left_out() => Ok(Entries::new(self, &[])),
            _ => self.wrong_kind("a mapping"),
        }
    }

    fn items(self) -> Read<Items<'de, 'p>> {
        match &self.node.value {
            Value::List(items) => Ok(Items::new(self, items)),
            _ if self.node.is_left_out() => Ok(Items::new(self, &[])),
            _ => self.wrong_kind("a list"),
        }
    }

    fn spanned(self) -> Place {
        Place {
            mark: self.node.mark,
            key: self.path.to_string(),
        }
    }
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
            Value::List(_) => return self.deserialize_seq(visitor),
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

    text! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

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
        self.place(visitor.visit_seq(self.items()?))
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
        let read = visitor.visit_map(self.entries()?);
        read.map_err(|fault| Fault::from(fault.placed(self)))
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
            Value::Map(entries) if tagged => match entries.iter().find(|(key, _)| key.name() == name) {
                Some((_, tag)) => Variant::tagged(self, name, tag),
                None => {
                    return self.refuse(
                        format!("`{name}` is missing"),
                        format!("use {}", one_of(variants)),
                    );
                }
            },
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

fn one_of(words: &[&str]) -> String {
    match words {
        [word] => (*word).to_owned(),
        words => format!("one of {}", words.join(", ")),
    }
}
