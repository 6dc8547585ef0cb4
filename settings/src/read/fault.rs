//! A refusal on its way up, until the place of what was refused is known.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::keys;
use crate::mistake::Mistake;
use crate::node::{Node, Path};

pub(super) type Read<T> = Result<T, Fault>;

/// A refusal.
#[derive(Debug)]
pub(super) enum Fault {
    /// With its place.
    Placed(Box<Mistake>),
    /// A problem of the value that is being read, and how to mend it.
    Value(String, &'static str),
    /// A key that is needed.
    Missing(&'static str),
    /// A key that its mapping does not know, and those that it knows.
    Key(String, &'static [&'static str]),
}

impl From<Mistake> for Fault {
    fn from(mistake: Mistake) -> Self {
        Self::Placed(Box::new(mistake))
    }
}

impl Fault {
    /// The refusal of `node`, which stands at `path`, unless it has a place already.
    pub(super) fn placed(self, node: &Node, path: &Path<'_>) -> Mistake {
        let (problem, remedy) = match self {
            Self::Placed(mistake) => return *mistake,
            Self::Value(problem, remedy) => (problem, remedy),
            Self::Missing(key) => return lacking(key, node, path, ""),
            Self::Key(key, _) => (format!("`{key}` is not a key here"), ""),
        };
        // A refusal may quote what it refuses; what a variable holds may be a secret.
        let problem = match node.scalar() {
            Some(scalar) if scalar.written.is_some() && !scalar.text.is_empty() => {
                problem.replace(&scalar.text, scalar.shown())
            }
            _ => problem,
        };
        Mistake::new(node.mark, path.to_string(), problem, remedy)
    }

    /// The refusal of `key`, which stands before `value` in the mapping at `path`.
    pub(super) fn of_key(self, key: &Node, value: &Node, path: &Path<'_>) -> Self {
        let Self::Key(name, known) = self else { return self };
        let (problem, remedy) = keys::unknown(&name, value, known);
        let at = Path::Key(path, &name).to_string();
        Self::from(Mistake {
            known,
            ..Mistake::new(key.mark, at, problem, remedy)
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placed(mistake) => mistake.fmt(f),
            Self::Value(problem, _) => f.write_str(problem),
            Self::Missing(key) => write!(f, "`{key}` is missing"),
            Self::Key(key, _) => write!(f, "`{key}` is not a key here"),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self::Value(problem.to_string(), "")
    }

    fn invalid_type(given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let given = match given {
            Unexpected::Map => "a mapping".to_owned(),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Unit => "nothing".to_owned(),
            given => given.to_string(),
        };
        Self::Value(
            format!("is {given}, where {expected} is needed"),
            remedy(expected),
        )
    }

    fn invalid_value(given: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let given = match given {
            Unexpected::Str(text) => format!("`{text}`"),
            given => given.to_string(),
        };
        Self::Value(format!("{given} is not {expected}"), remedy(expected))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::Value(format!("has {length} values, where {expected} is needed"), "")
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        let remedy = keys::nearest(variant, known).map_or_else(
            || format!("use {}", keys::one_of(known)),
            |near| format!("did you mean `{near}`?"),
        );
        Self::Value(format!("`{variant}` is not known here; {remedy}"), "")
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::Key(key.to_owned(), known)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::Missing(key)
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::Value(format!("`{key}` stands twice"), "keep one of them")
    }
}

/// The mapping `node` lacks `key`.
pub(super) fn lacking(key: &'static str, node: &Node, path: &Path<'_>, remedy: &str) -> Mistake {
    let problem = format!("`{key}` is missing");
    Mistake {
        missing: Some(key),
        ..Mistake::new(node.mark, path.to_string(), problem, remedy)
    }
}

/// What `humantime-serde` says that it wants, but not how to write it.
pub(crate) const A_DURATION: &str = "a duration";

fn remedy(expected: &dyn Expected) -> &'static str {
    match expected.to_string().as_str() {
        A_DURATION => "write for example 250ms, 5s, 2m, 1h or 7d",
        _ => "",
    }
}
