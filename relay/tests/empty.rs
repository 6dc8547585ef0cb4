//! A variable that is set to nothing is as good as not set: compose files write `${PORT:-}`.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::net::TcpListener;
use std::process::Command;

/// What the page about configuration lists.
fn variables() -> Vec<&'static str> {
    let page = include_str!("../../docs/configuration.md");
    let (_, below) = page.split_once("## Flags and variables").unwrap();
    let table = below.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap()).collect()
}

#[test]
fn a_variable_that_is_set_to_nothing_is_as_good_as_not_set() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let relay = |words: &[&str]| {
        let empty = variables().into_iter().map(|name| (name, ""));
        // Its models are found in the working folder, as `RELAY_HOME` is set to nothing.
        std::os::unix::fs::symlink(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../models"),
            folder.path().join("models"),
        )
        .ok();
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        let command = command.args(words).env_clear().envs(empty);
        command.current_dir(folder.path()).output().unwrap()
    };
    assert!(variables().len() > 15);
    let up = relay(&["up", "--port", &port]);
    let said = String::from_utf8(up.stderr).unwrap();
    assert!(
        said.contains(&format!("127.0.0.1:{port}")),
        "all but its port is good: {said}"
    );
    // The help still says what the flag's variable is called.
    let help = String::from_utf8(relay(&["up", "--help"]).stdout).unwrap();
    for name in ["PORT", "HOST", "LOG_LEVEL", "RELAY_CONFIG"] {
        assert!(help.contains(&format!("[env: {name}=]")), "{help}");
    }
}
