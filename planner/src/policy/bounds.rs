//! Bounds on one number: how policy narrows what a client asked for.

use serde::Deserialize;

/// The smallest and largest value allowed, and the value where the client sets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, bound = "T: Deserialize<'de>")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Bounds<T> {
    pub min: Option<T>,
    pub max: Option<T>,
    pub default: Option<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self {
            min: None,
            max: None,
            default: None,
        }
    }
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Both bounds at once; `inner`'s default wins. Disjoint ones are refused when a policy is loaded.
    #[must_use]
    pub fn narrowed_by(self, inner: Self) -> Self {
        Self {
            min: pick(self.min, inner.min, |a, b| if a > b { a } else { b }),
            max: pick(self.max, inner.max, |a, b| if a < b { a } else { b }),
            default: inner.default.or(self.default),
        }
    }

    /// The value closest to `value` inside the bounds.
    pub fn clamp(self, value: T) -> T {
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

    fn bounds(min: Option<u32>, max: Option<u32>, default: Option<u32>) -> Bounds<u32> {
        Bounds { min, max, default }
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
    fn a_value_moves_no_further_than_the_bound() {
        let chat = bounds(Some(16), Some(512), None);
        for (asked, given) in [(1, 16), (16, 16), (200, 200), (512, 512), (4_000, 512)] {
            assert_eq!(chat.clamp(asked), given);
        }
        assert_eq!(bounds(None, None, None).clamp(9), 9);
    }
}
