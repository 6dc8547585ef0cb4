//! Settings of the planner.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The section `planner` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The policy file; without one, the policy this build was made with (`deploy/policy.yaml`).
    pub policy: PolicyFile,
    /// How often the file is looked at.
    #[serde(with = "humantime_serde")]
    pub reload: Duration,
    /// Most records that are taken and not yet finished.
    pub max_in_flight: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: PolicyFile::default(),
            reload: Duration::from_secs(1),
            max_in_flight: 256,
        }
    }
}

/// Where the policy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PolicyFile(Option<PathBuf>);

impl PolicyFile {
    /// This file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Some(path.into()))
    }

    /// Its path; `None` for the built-in policy.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// What people call it.
    pub fn name(&self) -> String {
        match &self.0 {
            Some(path) => path.display().to_string(),
            None => "the built-in policy".to_owned(),
        }
    }
}
