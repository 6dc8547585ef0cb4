//! Sizes in bytes, written as `64MiB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// What is wanted where a size stands.
pub(crate) const A_SIZE: &str = "a size such as 512B, 64KiB or 16MiB";

/// A number of bytes. Read from `64MiB`, `1.5GB`, `512B` or `0`; shown so that nothing is rounded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many bytes.
    pub const fn b(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many times 1,024 bytes.
    pub const fn kib(kibibytes: u64) -> Self {
        Self(kibibytes << 10)
    }

    /// That many times 1,024² bytes.
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// That many times 1,024³ bytes.
    pub const fn gib(gibibytes: u64) -> Self {
        Self(gibibytes << 30)
    }

    /// The bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The bytes, as lengths in memory are counted; what no memory could hold is the largest length.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let exact = units
            .into_iter()
            .find(|(bits, _)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        match exact {
            Some((bits, unit)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write for example 512B, 64KiB, 16MiB or 1GiB")]
pub struct NoSize(String);

impl FromStr for ByteSize {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        let no_unit = text.trim().parse().is_ok_and(|number: f64| number != 0.0);
        let size: Option<bytesize::ByteSize> = text.parse().ok().filter(|_| !no_unit);
        size.map(|size| Self(size.as_u64()))
            .ok_or_else(|| NoSize(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_SIZE)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                bytes.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Size)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_as_it_is_read() {
        for (bytes, shown) in [
            (0, "0B"),
            (1, "1B"),
            (1000, "1000B"),
            (1024, "1KiB"),
            (983_040, "960KiB"),
            (67_108_864, "64MiB"),
            (1 << 40, "1TiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), shown);
            assert_eq!(shown.parse(), Ok(ByteSize(bytes)));
        }
        assert_eq!("1.5 GB".parse(), Ok(ByteSize(1_500_000_000)));
        assert_eq!("0".parse(), Ok(ByteSize(0)));
        for text in ["1000", "1.5"] {
            assert_eq!(text.parse::<ByteSize>(), Err(NoSize(text.to_owned())));
        }
        let error = "64 apples".parse::<ByteSize>().expect_err("no unit");
        assert_eq!(
            error.to_string(),
            "`64 apples` is no size; write for example 512B, 64KiB, 16MiB or 1GiB"
        );
    }
}
