//! Wall clocks that can be set, of some processes and not of the machine: `clock_step.c`, compiled where it is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use parking_lot::Mutex;

use crate::files::root;

/// The clocks of a deployment, each process's its own; clones are the same clocks.
#[derive(Clone)]
pub struct Clocks {
    library: PathBuf,
    folder: PathBuf,
    /// By how many milliseconds each is ahead of the machine's.
    ahead_ms: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Clocks {
    /// Compiles the shim into `folder`.
    pub fn build(folder: &Path) -> anyhow::Result<Self> {
        let library = folder.join("clock_step.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library);
        compiler.arg(root().join("tests/clock_step.c")).arg("-ldl");
        let output = compiler.output();
        let output = output.context("cc, the C compiler that Rust links with")?;
        ensure!(
            output.status.success(),
            "tests/clock_step.c: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self {
            library,
            folder: folder.to_owned(),
            ahead_ms: Arc::default(),
        })
    }

    /// Has the process that `command` will start read the clock called `name`.
    pub fn give(&self, command: &mut Command, name: &str) -> anyhow::Result<()> {
        let ahead_ms = *self.ahead_ms.lock().entry(name.to_owned()).or_default();
        self.set(name, ahead_ms)?;
        command
            .env("LD_PRELOAD", &self.library)
            .env("RELAY_CLOCK_STEP", self.file(name));
        Ok(())
    }

    /// Sets the clocks that `chosen` names by `step_ms`, one right after the other.
    pub fn step(&self, step_ms: i64, chosen: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let mut clocks = self.ahead_ms.lock();
        for (name, ahead_ms) in clocks.iter_mut().filter(|(name, _)| chosen(name)) {
            *ahead_ms += step_ms;
            self.set(name, *ahead_ms)?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.clock"))
    }

    /// In place and at once: processes have the file mapped.
    fn set(&self, name: &str, ahead_ms: i64) -> anyhow::Result<()> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.file(name))?;
        Ok(file.write_all_at(&ahead_ms.to_ne_bytes(), 0)?)
    }
}
