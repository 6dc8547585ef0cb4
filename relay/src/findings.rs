//! What is wrong with the files of an installation: each with its place, the key, and how to mend it.

use std::fmt;

use relay_settings::{Mark, Mistake, Reading};

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    /// Nothing starts.
    Refused,
    /// What starts goes on without it, and says so on `/readyz`.
    Degraded,
}

/// Something wrong with a key of a file, before it is known where that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub key: String,
    pub what: String,
    pub remedy: String,
    /// Keys that it is about too: where one of them is mistaken, it may be none.
    pub beside: &'static [&'static str],
    pub grade: Grade,
}

impl Problem {
    pub fn new(key: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            what: what.into(),
            remedy: remedy.into(),
            beside: &[],
            grade: Grade::Refused,
        }
    }

    /// It is about these keys too.
    pub fn beside(mut self, keys: &'static [&'static str]) -> Self {
        self.beside = keys;
        self
    }

    /// A start goes on without it.
    pub fn degraded(mut self) -> Self {
        self.grade = Grade::Degraded;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Something wrong, and where. Reads `relay.yaml:12:5: ingress.port: …; …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file; empty where the environment, a flag or a default says it.
    file: String,
    mark: Option<Mark>,
    what: String,
    pub grade: Grade,
}

impl Finding {
    /// What no file says.
    pub fn of(problem: &Problem) -> Self {
        Self::said(problem.to_string(), problem.grade)
    }

    /// In these words, whatever they are about.
    pub fn said(what: impl Into<String>, grade: Grade) -> Self {
        Self {
            file: String::new(),
            mark: None,
            what: what.into(),
            grade,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            match self.mark {
                Some(mark) => write!(f, "{mark}: ")?,
                None => f.write_str(" ")?,
            }
        }
        f.write_str(&self.what)
    }
}

/// File by file, each in its order.
pub(crate) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut files: Vec<String> = Vec::new();
    for finding in &findings {
        if !files.contains(&finding.file) {
            files.push(finding.file.clone());
        }
    }
    findings.sort_by_key(|finding| {
        let file = files.iter().position(|file| *file == finding.file);
        let mark = finding.mark.map(|mark| (mark.line, mark.column));
        (file, mark)
    });
    findings
}

/// All that is wrong: at least one finding.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Findings(pub Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        write!(f, "{} mistakes", self.0.len())?;
        self.0.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// A file that was read.
pub(crate) struct FileRead<T> {
    /// What people call it.
    pub name: String,
    pub reading: Reading<T>,
}

impl<T> FileRead<T> {
    /// What is wrong with it alone.
    pub fn mistakes(&self) -> impl Iterator<Item = Finding> {
        self.reading.mistakes.iter().map(|mistake| self.placed(mistake))
    }

    pub fn is_sound(&self) -> bool {
        self.reading.mistakes.is_empty()
    }

    /// A problem with its place; `None` where it is about something that is mistaken already.
    pub fn at(&self, problem: &Problem) -> Option<Finding> {
        let mut keys = problem.beside.iter().copied().chain([problem.key.as_str()]);
        if keys.any(|key| self.reading.is_mistaken(key)) {
            return None;
        }
        Some(Finding {
            file: self.name.clone(),
            mark: self.reading.place(&problem.key).map(|place| place.mark),
            ..Finding::of(problem)
        })
    }

    fn placed(&self, mistake: &Mistake) -> Finding {
        let said = mistake.to_string();
        let without = said.strip_prefix(&format!("{}: ", mistake.mark));
        Finding {
            file: self.name.clone(),
            mark: Some(mistake.mark),
            what: without.unwrap_or(&said).to_owned(),
            grade: Grade::Refused,
        }
    }
}
