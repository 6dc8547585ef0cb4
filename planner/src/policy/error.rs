//! What is wrong with a policy file: where, what, and how to mend it.

use super::locate::{Step, locate};

/// A mistake in a policy file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}{}", place(*line, key), hint(remedy))]
pub struct PolicyError {
    /// Where it stands, from 1; unknown only where the file has no such place.
    pub line: Option<usize>,
    /// The key, for example `rules[1].set.pool`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// How to mend it; empty where the problem says it already.
    pub remedy: String,
}

fn place(line: Option<usize>, key: &str) -> String {
    match (line, key) {
        (Some(line), "") => format!("line {line}: "),
        (Some(line), key) => format!("line {line}, {key}: "),
        (None, "") => String::new(),
        (None, key) => format!("{key}: "),
    }
}

fn hint(remedy: &str) -> String {
    if remedy.is_empty() {
        return String::new();
    }
    format!("; {remedy}")
}

impl PolicyError {
    /// What YAML or the grammar refuses. The reader writes `rules[1].set: unknown field … at line 4 column 5`.
    pub(super) fn unreadable(error: &serde_yaml_ng::Error) -> Self {
        let text = error.to_string();
        let text = match text.rfind(" at line ") {
            Some(at) => &text[..at],
            None => &text,
        };
        let (key, problem) = match text.split_once(": ") {
            Some((key, problem)) if is_path(key) => (key, problem),
            _ => ("", text),
        };
        Self {
            line: error.location().map(|location| location.line()),
            key: key.to_owned(),
            problem: problem.to_owned(),
            remedy: "see docs/policy.md for the grammar".to_owned(),
        }
    }
}

fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c))
}

/// A mistake that only the whole document shows, before its line is known.
#[derive(Debug)]
pub(super) struct Mistake {
    path: Vec<Step>,
    problem: String,
    remedy: String,
}

impl Mistake {
    pub(super) fn at(path: &[Step], problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_vec(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn located(self, body: &str) -> PolicyError {
        let mut key = String::new();
        for step in &self.path {
            match step {
                Step::Key(name) if key.is_empty() => key.push_str(name),
                Step::Key(name) => {
                    key.push('.');
                    key.push_str(name);
                }
                Step::Index(index) => {
                    key.push('[');
                    key.push_str(&index.to_string());
                    key.push(']');
                }
            }
        }
        PolicyError {
            line: locate(body, &self.path),
            key,
            problem: self.problem,
            remedy: self.remedy,
        }
    }
}
