//! A value and the way to it, and the plain ways to read it or to refuse it.

use super::fault::{Fault, Read};
use crate::mistake::Mistake;
use crate::node::{Node, Path, Scalar, Value};
use crate::scalar;
use crate::spanned::Place;

/// A value to be read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de, 'p> {
    pub node: &'de Node,
    pub path: &'p Path<'p>,
    /// The key that told the variant, which is none of the variant's own.
    pub without: Option<&'static str>,
}

impl<'de> Reader<'de, '_> {
    /// Gives `done` the place of this value, unless it has one already. A key's place is its mapping's affair.
    pub fn place<T>(self, done: Read<T>) -> Read<T> {
        done.map_err(|fault| match fault {
            Fault::Key(..) => fault,
            fault => Fault::from(fault.placed(self.node, self.path)),
        })
    }

    pub fn refuse<T>(self, problem: impl Into<String>, remedy: impl Into<String>) -> Read<T> {
        let key = self.path.to_string();
        Err(Fault::from(Mistake::new(self.node.mark, key, problem, remedy)))
    }

    pub fn wrong_kind<T>(self, needed: &str) -> Read<T> {
        if self.node.is_null() {
            return self.refuse("has no value", format!("{needed} is needed"));
        }
        self.refuse(format!("is {}, where {needed} is needed", self.node.kind()), "")
    }

    pub fn scalar(self, needed: &str) -> Read<&'de Scalar> {
        match &self.node.value {
            Value::Scalar(scalar) if !scalar.is_null() => Ok(scalar),
            _ => self.wrong_kind(needed),
        }
    }

    /// A scalar that stands without quotes, in the words of `meaning`.
    pub fn plain<T>(self, needed: &str, meaning: impl Fn(&str) -> Option<T>) -> Read<T> {
        let scalar = self.scalar(needed)?;
        let meant = meaning(&scalar.text);
        match meant {
            Some(value) if scalar.plain => Ok(value),
            Some(_) => {
                let way = match scalar.written {
                    // Between braces it is no YAML without its quotes.
                    Some(_) => " on a line of its own, outside of braces and brackets",
                    None => "",
                };
                self.refuse(
                    format!("is text, where {needed} is needed"),
                    format!("remove the quotes: {}{way}", scalar.shown()),
                )
            }
            None => self.refuse(format!("`{}` is not {needed}", scalar.shown()), ""),
        }
    }

    pub fn whole<T: TryFrom<i128>>(self, least: i128, most: i128) -> Read<T> {
        let needed = if most > i128::from(u32::MAX) {
            format!("a whole number of at least {least}")
        } else {
            format!("a whole number from {least} to {most}")
        };
        self.plain(&needed, |text| T::try_from(scalar::whole(text)?).ok())
    }

    pub fn number(self) -> Read<f64> {
        self.plain("a number", scalar::number)
    }

    pub fn spanned(self) -> Place {
        Place {
            mark: self.node.mark,
            key: self.path.to_string(),
        }
    }
}
