//! What is inside of a value.

use std::slice;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::fault::{Fault, Read};
use super::reader::Reader;
use crate::node::{Node, Path, Value};

/// The entries of a mapping.
pub(super) struct Entries<'de, 'p> {
    of: Reader<'de, 'p>,
    left: slice::Iter<'de, (Node, Node)>,
    current: Option<&'de (Node, Node)>,
}

impl<'de, 'p> Entries<'de, 'p> {
    pub(super) fn of(of: Reader<'de, 'p>) -> Read<Self> {
        let left = match &of.node.value {
            Value::Map(entries) => entries.iter(),
            // A section with everything below it commented out.
            _ if of.node.is_left_out() => [].iter(),
            _ => return of.wrong_kind("a mapping"),
        };
        let current = None;
        Ok(Self { of, left, current })
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<Option<K::Value>> {
        let without = self.of.without;
        self.current = self.left.find(|(key, _)| without != Some(key.name()));
        let Some((key, value)) = self.current else {
            return Ok(None);
        };
        let path = Path::Key(self.of.path, key.name());
        let reader = Reader {
            node: key,
            path: &path,
            without: None,
        };
        let read = seed
            .deserialize(reader)
            .map_err(|fault| fault.of_key(key, value, self.of.path));
        reader.place(read).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<V::Value> {
        let (key, value) = self.current.take().expect("serde asks for the key first");
        let path = Path::Key(self.of.path, key.name());
        let reader = Reader {
            node: value,
            path: &path,
            without: None,
        };
        reader.place(seed.deserialize(reader))
    }
}

/// The items of a list.
pub(super) struct Items<'de, 'p> {
    of: Reader<'de, 'p>,
    left: std::iter::Enumerate<slice::Iter<'de, Node>>,
}

impl<'de, 'p> Items<'de, 'p> {
    pub(super) fn of(of: Reader<'de, 'p>) -> Read<Self> {
        let left = match &of.node.value {
            Value::List(items) => items.iter().enumerate(),
            _ if of.node.is_left_out() => [].iter().enumerate(),
            _ => return of.wrong_kind("a list"),
        };
        Ok(Self { of, left })
    }
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        let there = |(_, node): &(usize, &Node)| !matches!(node.value, Value::Removed);
        let Some((index, node)) = self.left.find(there) else {
            return Ok(None);
        };
        let path = Path::Index(self.of.path, index);
        let reader = Reader {
            node,
            path: &path,
            without: None,
        };
        reader.place(seed.deserialize(reader)).map(Some)
    }
}

/// For [`crate::Spanned`]: where a value stands, then the value.
pub(super) struct PlaceThenValue<'de, 'p> {
    place: Option<String>,
    value: Option<Reader<'de, 'p>>,
}

impl<'de, 'p> PlaceThenValue<'de, 'p> {
    pub(super) fn new(reader: Reader<'de, 'p>) -> Self {
        Self {
            place: Some(reader.spanned().encoded()),
            value: Some(reader),
        }
    }
}

impl<'de> SeqAccess<'de> for PlaceThenValue<'de, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<Option<T::Value>> {
        if let Some(place) = self.place.take() {
            let place: StringDeserializer<Fault> = place.into_deserializer();
            return seed.deserialize(place).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}

/// A variant of an enum: its name, and the mapping that says the rest.
pub(super) struct Variant<'de, 'p> {
    of: Reader<'de, 'p>,
    tag: Option<(&'static str, &'de Node)>,
}

impl<'de, 'p> Variant<'de, 'p> {
    /// `standby`
    pub(super) fn alone(of: Reader<'de, 'p>) -> Self {
        Self { of, tag: None }
    }

    /// `{kind: standby, …}`
    pub(super) fn tagged(of: Reader<'de, 'p>, key: &'static str, tag: &'de Node) -> Self {
        let tag = Some((key, tag));
        Self { of, tag }
    }

    fn rest(&self) -> Reader<'de, 'p> {
        Reader {
            without: self.tag.map(|(key, _)| key),
            ..self.of
        }
    }
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Read<(V::Value, Self)> {
        let Some((key, node)) = self.tag else {
            return Ok((seed.deserialize(self.of)?, self));
        };
        let path = Path::Key(self.of.path, key);
        let reader = Reader {
            node,
            path: &path,
            without: None,
        };
        let variant = reader.place(seed.deserialize(reader))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Fault;

    fn unit_variant(self) -> Read<()> {
        let Value::Map(entries) = &self.of.node.value else {
            return Ok(());
        };
        let rest = self.rest();
        match entries.iter().find(|(key, _)| rest.without != Some(key.name())) {
            Some((key, value)) => {
                Err(Fault::Key(key.name().to_owned(), &[]).of_key(key, value, self.of.path))
            }
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<T::Value> {
        seed.deserialize(self.rest())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Read<V::Value> {
        self.of.wrong_kind("a single value")
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Read<V::Value> {
        self.of.place(visitor.visit_map(Entries::of(self.rest())?))
    }
}
