//! Bounds on one number: how policy narrows what a client asked for.

use std::fmt::{self, Display};
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor};

/// What numbers of a kind may be at all.
pub trait Limits: Copy {
    /// How they are counted.
    type Number: PartialOrd + Copy + Display + DeserializeOwned;
    /// The smallest.
    const LEAST: Self::Number;
    /// The largest.
    const MOST: Self::Number;
}

macro_rules! limits {
    ($(#[doc = $doc:literal] $kind:ident: $number:ty = $least:literal to $most:expr;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $kind;

        impl Limits for $kind {
            type Number = $number;
            const LEAST: $number = $least;
            const MOST: $number = $most;
        }
    )*};
}

limits! {
    #[doc = "Tokens, of an answer or to choose from."]
    Tokens: u32 = 1 to u32::MAX;
    #[doc = "How much chance there is."]
    Temperature: f64 = 0.0 to 2.0;
    #[doc = "A share of the probability mass."]
    Mass: f64 = 0.0 to 1.0;
}

/// What holds where the client sets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset<N> {
    /// Nothing: an endpoint is not sent it.
    Unset,
    /// This.
    Value(N),
}

/// The smallest and largest value allowed, and what holds where the client sets none. Never disjoint, and a default is inside.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Bounds<L: Limits> {
    pub min: Option<L::Number>,
    pub max: Option<L::Number>,
    pub default: Option<Preset<L::Number>>,
}

impl<'de, L: Limits> Deserialize<'de> for Bounds<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields, bound = "")]
        struct Written<L: Limits> {
            min: Option<Limited<L>>,
            max: Option<Limited<L>>,
            default: Option<LimitedPreset<L>>,
        }

        let written = Written::<L>::deserialize(deserializer)?;
        let number = |limited: Option<Limited<L>>| limited.map(|limited| limited.0);
        let bounds = Self {
            min: number(written.min),
            max: number(written.max),
            default: written.default.map(|preset| preset.0),
        };
        if bounds.is_empty() {
            return Err(D::Error::custom("`min` is above `max`; exchange them"));
        }
        if let Some(Preset::Value(default)) = bounds.default
            && bounds.clamp(default) != default
        {
            return Err(D::Error::custom(
                "`default` lies outside of `min` and `max`; move it inside",
            ));
        }
        Ok(bounds)
    }
}

/// A number inside of its limits, which not-a-number is not.
struct Limited<L: Limits>(L::Number, PhantomData<L>);

impl<'de, L: Limits> Deserialize<'de> for Limited<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = L::Number::deserialize(deserializer)?;
        if number >= L::LEAST && number <= L::MOST {
            return Ok(Self(number, PhantomData));
        }
        let (least, most) = (L::LEAST, L::MOST);
        Err(D::Error::custom(format!(
            "{number} is out of range; use {least} to {most}"
        )))
    }
}

/// The same, or the word `unset`. By hand, because serde's untagged enums lose the place of an error.
struct LimitedPreset<L: Limits>(Preset<L::Number>);

impl<'de, L: Limits> Deserialize<'de> for LimitedPreset<L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord<L>(PhantomData<L>);

        impl<L: Limits> NumberOrWord<L> {
            fn number<'de, E: Error>(
                written: impl Display + IntoDeserializer<'de, E> + Copy,
            ) -> Result<LimitedPreset<L>, E> {
                let number = Limited::<L>::deserialize(written.into_deserializer());
                let number = number.map_err(|_| {
                    let (least, most) = (L::LEAST, L::MOST);
                    E::custom(format!(
                        "{written} is out of range; use {least} to {most}, or `unset`"
                    ))
                });
                Ok(LimitedPreset(Preset::Value(number?.0)))
            }
        }

        impl<L: Limits> Visitor<'_> for NumberOrWord<L> {
            type Value = LimitedPreset<L>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or `unset`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<LimitedPreset<L>, E> {
                if word == "unset" {
                    return Ok(LimitedPreset(Preset::Unset));
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(word), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<LimitedPreset<L>, E> {
                Self::number(number)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<LimitedPreset<L>, E> {
                Self::number(number)
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<LimitedPreset<L>, E> {
                Self::number(number)
            }
        }

        deserializer.deserialize_any(NumberOrWord(PhantomData))
    }
}

impl<L: Limits> Bounds<L> {
    /// Both bounds at once; `inner`'s default wins. Disjoint ones are refused when a policy is checked.
    #[must_use]
    pub fn narrowed_by(self, inner: Self) -> Self {
        Self {
            min: pick(self.min, inner.min, |a, b| if a > b { a } else { b }),
            max: pick(self.max, inner.max, |a, b| if a < b { a } else { b }),
            default: inner.default.or(self.default),
        }
    }

    /// The value closest to `value` inside the bounds.
    pub fn clamp(self, value: L::Number) -> L::Number {
        match (self.min, self.max) {
            (_, Some(max)) if value > max => max,
            (Some(min), _) if value < min => min,
            _ => value,
        }
    }

    /// Whether no value can satisfy both ends.
    pub fn is_empty(self) -> bool {
        matches!((self.min, self.max), (Some(min), Some(max)) if min > max)
    }
}

fn pick<T: Copy>(one: Option<T>, other: Option<T>, choose: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(choose(one, other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(min: Option<u32>, max: Option<u32>, default: Option<u32>) -> Bounds<Tokens> {
        Bounds {
            min,
            max,
            default: default.map(Preset::Value),
        }
    }

    #[test]
    fn narrowing_takes_the_tighter_end_and_the_inner_default() {
        let outer = bounds(Some(1), Some(100), Some(50));
        let cases = [
            (bounds(None, None, None), bounds(Some(1), Some(100), Some(50))),
            (
                bounds(Some(10), None, None),
                bounds(Some(10), Some(100), Some(50)),
            ),
            (
                bounds(None, Some(200), Some(7)),
                bounds(Some(1), Some(100), Some(7)),
            ),
            (
                bounds(Some(0), Some(20), None),
                bounds(Some(1), Some(20), Some(50)),
            ),
        ];
        for (inner, expected) in cases {
            assert_eq!(outer.narrowed_by(inner), expected, "{inner:?}");
        }
    }

    #[test]
    fn unset_is_a_default_as_any_other_when_bounds_are_narrowed() {
        let fifty = bounds(None, None, Some(50));
        let unset = Bounds {
            default: Some(Preset::Unset),
            ..fifty
        };
        assert_eq!(fifty.narrowed_by(unset).default, Some(Preset::Unset));
        assert_eq!(unset.narrowed_by(fifty).default, Some(Preset::Value(50)));
        assert_eq!(
            unset.narrowed_by(bounds(None, None, None)).default,
            Some(Preset::Unset)
        );
    }

    #[test]
    fn a_value_moves_no_further_than_the_bound() {
        let chat = bounds(Some(16), Some(512), None);
        for (asked, given) in [(1, 16), (16, 16), (200, 200), (512, 512), (4_000, 512)] {
            assert_eq!(chat.clamp(asked), given);
        }
        assert_eq!(bounds(None, None, None).clamp(9), 9);
    }
}
