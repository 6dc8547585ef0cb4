//! A pool without workers before the one that has some: whatever is planned there is handed over.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::files::root;

/// The pool without workers.
pub const EMPTY: &str = "empty";

/// Writes `policy`, which knows one pool, and the topics for both pools into `folder`; the lines that a configuration needs to use them.
pub fn empty_one_first(folder: &Path, policy: &str) -> anyhow::Result<String> {
    let pools = format!("pools: [{EMPTY}, default]");
    let both = |text: &str| {
        ensure!(text.contains("pools: [default]"), "it names the one pool");
        Ok(text.replace("pools: [default]", &pools))
    };
    let own = "    - { pool: default, model: mock }\n";
    ensure!(policy.contains(own), "the policy names the one candidate");
    let before = format!("    - {{ pool: {EMPTY}, model: mock }}\n{own}");
    std::fs::write(folder.join("policy.yaml"), both(policy)?.replace(own, &before))?;
    let topics = std::fs::read_to_string(root().join("deploy/topics.yaml")).context("deploy/topics.yaml")?;
    let path = folder.join("topics.yaml");
    std::fs::write(&path, both(&topics)?)?;
    Ok(format!(
        "topics: {}\nscheduler: {{ {pools}, leases: {{ hand_over_after: 200ms }} }}\n",
        path.display()
    ))
}
