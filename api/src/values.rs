//! Values that the API writes in more than one way.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::names::Chosen;

/// Reads a whole number of a range; `16.0` is one too, because some languages know no other kind.
struct Whole {
    range: RangeInclusive<i64>,
    /// The range in words.
    expected: &'static str,
}

/// Up to here every whole number is one of a float's.
const WHOLE_FLOATS: f64 = 9_007_199_254_740_992.0;

impl Whole {
    fn refused<E: Error>(&self) -> E {
        E::invalid_value(Unexpected::Other("a number"), self)
    }
}

impl Visitor<'_> for Whole {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Err(self.refused()),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        if self.range.contains(&number) {
            Ok(number)
        } else {
            Err(self.refused())
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
        if number.fract() == 0.0 && number.abs() <= WHOLE_FLOATS {
            self.visit_i64(number as i64)
        } else {
            Err(self.refused())
        }
    }
}

/// A whole number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let whole = Whole {
            range: 1..=i64::from(i32::MAX),
            expected: "a whole number from 1 to 2147483647",
        };
        from.deserialize_any(whole).map(|count| Self(count as u32))
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub i64);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let whole = Whole {
            range: i64::MIN..=i64::MAX,
            expected: "a whole number from -9223372036854775808 to 9223372036854775807",
        };
        from.deserialize_any(whole).map(Self)
    }
}

/// How many tokens may come next, or all of them, which some servers write as `-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK(pub Option<u32>);

impl<'de> Deserialize<'de> for TopK {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let whole = Whole {
            range: -1..=i64::from(u32::MAX),
            expected: "a whole number from 0 to 4294967295, or -1 for all tokens",
        };
        from.deserialize_any(whole)
            .map(|top_k| Self(u32::try_from(top_k).ok()))
    }
}

/// One text or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// The texts.
    pub texts: Vec<String>,
    /// Whether they came as a list.
    pub listed: bool,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextsReader)
    }
}

struct TextsReader;

impl<'de> Visitor<'de> for TextsReader {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts {
            texts: vec![text.to_owned()],
            listed: false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Texts, A::Error> {
        let texts = Vec::deserialize(SeqAccessDeserializer::new(items))?;
        Ok(Texts { texts, listed: true })
    }
}

/// What is to be completed, or turned into vectors: texts, or tokens that the client has made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Texts.
    Texts(Texts),
    /// Lists of token ids.
    Tokens {
        /// Each is one input.
        lists: Vec<Vec<u32>>,
        /// Whether they came as a list of lists.
        listed: bool,
    },
}

impl Input {
    /// How many inputs it is.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(texts) => texts.texts.len(),
            Self::Tokens { lists, .. } => lists.len(),
        }
    }

    /// Whether there is none, or one is empty.
    pub fn lacks_something(&self) -> bool {
        self.is_empty()
            || match self {
                Self::Texts(_) => false,
                Self::Tokens { lists, .. } => lists.iter().any(Vec::is_empty),
            }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InputReader)
    }
}

struct InputReader;

const AN_INPUT: &str = "a string, a list of strings, a list of token ids, or a list of such lists";

impl<'de> Visitor<'de> for InputReader {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AN_INPUT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Input, E> {
        TextsReader.visit_str(text).map(Input::Texts)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Input, A::Error> {
        let (mut texts, mut tokens, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(item) = items.next_element()? {
            match item {
                Item::Text(text) => texts.push(text),
                Item::Token(token) => tokens.push(token),
                Item::List(list) => lists.push(list),
            }
        }
        match (texts.is_empty(), tokens.is_empty(), lists.is_empty()) {
            (_, true, true) => Ok(Input::Texts(Texts { texts, listed: true })),
            (true, false, true) => Ok(Input::Tokens {
                lists: vec![tokens],
                listed: false,
            }),
            (true, true, false) => Ok(Input::Tokens { lists, listed: true }),
            _ => Err(A::Error::invalid_value(Unexpected::Other("a mixture"), &AN_INPUT)),
        }
    }
}

enum Item {
    Text(String),
    Token(u32),
    List(Vec<u32>),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ItemReader)
    }
}

struct ItemReader;

impl<'de> Visitor<'de> for ItemReader {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a token id, or a list of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, token: u64) -> Result<Item, E> {
        u32::try_from(token)
            .map(Item::Token)
            .map_err(|_| E::invalid_value(Unexpected::Other("a number"), &"a token id"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Item, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(items)).map(Item::List)
    }
}

/// An object whose members are somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectReader)
    }
}

struct ObjectReader;

impl<'de> Visitor<'de> for ObjectReader {
    type Value = AnyObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AnyObject, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(AnyObject)
    }
}

/// A word such as `auto`, or an object that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordOrObject {
    /// A word.
    Word(String),
    /// An object.
    Object(Chosen),
}

impl<'de> Deserialize<'de> for WordOrObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WordReader)
    }
}

struct WordReader;

impl<'de> Visitor<'de> for WordReader {
    type Value = WordOrObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<WordOrObject, E> {
        Ok(WordOrObject::Word(word.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<WordOrObject, A::Error> {
        Chosen::deserialize(MapAccessDeserializer::new(members)).map(WordOrObject::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_whole_number_however_it_is_written() {
        let read = |text| serde_json::from_str::<Count>(text).ok().map(|count| count.0);
        assert_eq!(
            (read("1"), read("16.0"), read("2147483647")),
            (Some(1), Some(16), Some(2_147_483_647))
        );
        for text in ["0", "-1", "1.5", "2147483648", "1e20", "\"1\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_seed_is_any_whole_number_and_top_k_none_below_minus_one() {
        let seed = |text| serde_json::from_str::<Seed>(text).ok().map(|seed| seed.0);
        let top_k = |text| serde_json::from_str::<TopK>(text).ok().map(|top_k| top_k.0);
        assert_eq!(seed("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(
            (seed("42.0"), seed("9223372036854775807")),
            (Some(42), Some(i64::MAX))
        );
        for text in ["9223372036854775808", "1e300", "0.5", "true"] {
            assert_eq!(seed(text), None, "{text}");
        }
        let read = ["-1", "-1.0", "-0.0", "4294967295"].map(top_k);
        assert_eq!(
            read,
            [Some(None), Some(None), Some(Some(0)), Some(Some(u32::MAX))]
        );
        for text in ["-2", "4294967296", "18446744073709551615", "1.5"] {
            assert_eq!(top_k(text), None, "{text}");
        }
    }

    #[test]
    fn inputs_are_texts_or_tokens_one_or_many_and_no_mixture() {
        let read = |text| serde_json::from_str::<Input>(text);
        let lens = [r#""a""#, r#"["a","b"]"#, "[1,2,3]", "[[1],[2,3]]", "[]"]
            .map(|text| read(text).expect(text).len());
        assert_eq!(lens, [1, 2, 1, 2, 0]);
        assert!(read("[[1],[]]").is_ok_and(|input| input.lacks_something()));
        for text in [r#"["a",1]"#, "[1,[2]]", "{}", "5", "[-1]", "[1.5]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
