//! Reads and checks the policy file.

use std::io::Read;

use relay_settings::{Mistake, Reading};

use crate::config::PolicyFile;
use crate::policy::{Document, Policy};

/// The policy this build was made with.
const BUILT_IN: &str = include_str!("../../deploy/policy.yaml");
/// Largest policy file. It must fit into a record of `relay.policies.v1`, whose default limit is 1 MiB.
const MOST_BYTES: u64 = 512 * 1024;

/// Why there is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// Its name.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// It says something that is no policy.
    #[error("{file}:{mistake}")]
    Mistaken {
        /// Its name.
        file: String,
        /// Where and what.
        mistake: Box<Mistake>,
    },
    /// It is a policy, but not for this installation.
    #[error("{file}: {reason}")]
    Unfit {
        /// Its name.
        file: String,
        /// What does not fit, and how to mend it.
        reason: String,
    },
}

/// Reads and checks the policy.
///
/// # Errors
/// [`LoadError`], with file, line, column and key.
pub fn load(file: &PolicyFile) -> Result<Policy, LoadError> {
    parse(file, &read(file)?)
}

/// What the policy file says, as far as it can be used, and all that is wrong with it.
///
/// # Errors
/// A file that cannot be read at all.
pub fn read_policy(file: &PolicyFile) -> Result<Reading<Document>, LoadError> {
    Ok(Policy::read(&read(file)?))
}

pub(crate) fn parse(file: &PolicyFile, body: &str) -> Result<Policy, LoadError> {
    Policy::parse(body).map_err(|mistake| LoadError::Mistaken {
        file: file.name(),
        mistake: Box::new(mistake),
    })
}

pub(crate) fn read(file: &PolicyFile) -> Result<String, LoadError> {
    let Some(path) = file.path() else {
        return Ok(BUILT_IN.to_owned());
    };
    let unreadable = |reason: String| LoadError::Unreadable {
        file: file.name(),
        reason,
    };
    let opened = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut body = String::new();
    opened
        .take(MOST_BYTES + 1)
        .read_to_string(&mut body)
        .map_err(|error| unreadable(error.to_string()))?;
    if body.len() as u64 > MOST_BYTES {
        return Err(unreadable(format!("larger than {MOST_BYTES} bytes")));
    }
    Ok(body)
}
