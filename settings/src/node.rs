//! The tree: what a file says, and where.

use crate::mistake::Mark;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub mark: Mark,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// A list's item that was refused and taken out: it keeps its number.
    Removed,
    /// In the order of the file; keys are scalars and differ.
    Map(Vec<(Node, Node)>),
}

/// One text of the file.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// After escapes and expansion.
    pub text: String,
    /// Without quotes, so it may be a number, `true` or `null`.
    pub plain: bool,
    /// As the file has it, where variables were put in: what may be shown.
    pub written: Option<String>,
}

impl Scalar {
    pub fn shown(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// A variable's value is never null.
    pub fn is_null(&self) -> bool {
        self.plain
            && self.written.is_none()
            && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(Scalar::is_null)
    }

    /// Nothing was written at all, as in `log:` with everything below it commented out.
    pub fn is_left_out(&self) -> bool {
        self.is_null() && self.scalar().is_some_and(|scalar| scalar.text.is_empty())
    }

    /// What kind of value it is, in the words of a refusal.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Removed => "nothing",
            Value::Map(_) => "a mapping",
        }
    }

    /// A key's text.
    pub fn name(&self) -> &str {
        self.scalar().map_or("", |scalar| scalar.text.as_str())
    }
}

/// The way to a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(above, key) => write!(f, "{above}.{key}"),
            Self::Index(above, index) => write!(f, "{above}[{index}]"),
        }
    }
}
