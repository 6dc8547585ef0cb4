//! Files on disk.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::gather::{self, Reading};
use crate::mistake::Mistake;
use crate::paths::Places;

/// Why a file is not used. Reads `relay.yaml:12:5: ingress.port: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// It says what it must not.
    #[error("{path}:{mistake}")]
    Wrong {
        /// The file.
        path: String,
        /// What is wrong.
        mistake: Box<Mistake>,
    },
}

impl FileError {
    /// A mistake of the file at `path`.
    pub fn wrong(path: &Path, mistake: Mistake) -> Self {
        Self::Wrong {
            path: path.display().to_string(),
            mistake: Box::new(mistake),
        }
    }
}

/// The text of the file at `path`, without its byte order mark.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let text = std::fs::read_to_string(path).map_err(|error| FileError::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// What the file at `path` says and all that is wrong with it, with its variables taken from the environment; `moved` as in
/// [`Document::read_moved`]. Where `is_path` says so of key and value, it is a path, relative to the file.
///
/// # Errors
/// A file that cannot be read at all.
pub fn read_file<T: DeserializeOwned>(
    path: &Path,
    moved: &[(&str, &str)],
    is_path: impl Fn(&str, &str) -> bool,
) -> Result<Reading<T>, FileError> {
    let text = read_text(path)?;
    let working = std::env::current_dir().unwrap_or_default();
    let places = Places {
        file: path.parent().unwrap_or(Path::new("")),
        working: &working,
    };
    Ok(gather::gathered(&text, |document| {
        let expanded = document.clone().expanded(|name| std::env::var(name).ok())?;
        expanded.rebased(&places, &is_path)?.read_moved(moved)
    }))
}
