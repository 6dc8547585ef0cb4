//! What is wrong with a file: where, what, and how to mend it.

use std::fmt;

/// A place in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A mistake in a file. Reads `12:5: rules[0].set.pool: there is no pool …; declare it …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub mark: Mark,
    /// The key, with those above it; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// How to mend it; empty where the problem says it already.
    pub remedy: String,
    /// Where a key is not known: those that are.
    pub known: &'static [&'static str],
    /// Where a key is missing: which one.
    pub missing: Option<&'static str>,
}

impl Mistake {
    /// A mistake at `key`, which stands at `mark`.
    pub fn new(
        mark: Mark,
        key: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            mark,
            key: key.into(),
            problem: problem.into(),
            remedy: remedy.into(),
            known: &[],
            missing: None,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.mark)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistake {}
