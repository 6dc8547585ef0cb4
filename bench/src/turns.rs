//! Two builds of one command in turns, so that what the machine does meanwhile falls on both alike.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// A build that takes its turn.
#[derive(Debug, Clone)]
pub struct Build {
    /// What tables call it.
    pub name: &'static str,
    /// Its executable.
    pub executable: PathBuf,
}

/// The running command, after `against`, if there is one.
///
/// # Errors
/// Where the system does not say which file is running.
pub fn builds(against: Option<PathBuf>) -> anyhow::Result<Vec<Build>> {
    let before = against.map(|executable| Build {
        name: "before",
        executable,
    });
    let now = Build {
        name: "now",
        executable: std::env::current_exe()?,
    };
    Ok(before.into_iter().chain([now]).collect())
}

impl Build {
    /// Runs it with `arguments` to its end; what it printed.
    ///
    /// # Errors
    /// Where it cannot be started, or fails.
    pub fn run(&self, arguments: &[String]) -> anyhow::Result<String> {
        let shown = || format!("{} {}", self.executable.display(), arguments.join(" "));
        let output = Command::new(&self.executable)
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .with_context(shown)?;
        ensure!(output.status.success(), "{}: {}", shown(), output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}
