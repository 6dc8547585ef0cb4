//! The real servers of `deploy/local/local.py run`: stopped, frozen and started under load.

use std::process::Command;

use anyhow::Context;

use crate::gateway::server;

/// Stops one server as an operator would (`kafka`, `nats`, `redis`, `postgres`).
pub fn stop(name: &str) -> anyhow::Result<()> {
    local("stop", name)
}

/// Starts it again on the same port and data.
pub fn start(name: &str) -> anyhow::Result<()> {
    local("start", name)
}

/// Freezes it: it keeps its connections and answers nothing.
pub fn pause(name: &str) -> anyhow::Result<()> {
    local("pause", name)
}

/// Lets it go on.
pub fn resume(name: &str) -> anyhow::Result<()> {
    local("resume", name)
}

fn local(verb: &str, name: &str) -> anyhow::Result<()> {
    let script = server("RELAY_LOCAL")?;
    let done = Command::new("python3")
        .arg(script)
        .args([verb, name])
        .output()
        .context("python3")?;
    anyhow::ensure!(
        done.status.success(),
        "{verb} {name}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
