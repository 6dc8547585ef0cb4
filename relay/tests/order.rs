//! Flags win over the environment, the environment over the file. Seen by which address the real program finds taken.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::net::TcpListener;
use std::process::Command;

/// What `relay up` says, with the configuration file, these variables and these flags.
fn up(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.yaml");
    std::fs::write(&config, file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_relay"))
        .env_clear()
        .env("RELAY_HOME", concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .envs(variables.iter().copied())
        .arg("up")
        .arg("--config")
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .args(flags)
        .output()
        .unwrap();
    assert!(!output.status.success(), "its address is taken");
    assert!(!folder.path().join("data").exists(), "nothing was opened");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [file, variable, flag] = taken
        .each_ref()
        .map(|port| port.local_addr().unwrap().port().to_string());
    let config = format!("ingress: {{ port: {file} }}\n");
    for (variables, flags, port) in [
        (vec![], vec![], &file),
        (vec![("PORT", variable.as_str())], vec![], &variable),
        (vec![("PORT", variable.as_str())], vec!["--port", &flag], &flag),
    ] {
        let said = up(&config, &variables, &flags);
        assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    }
}

#[test]
fn the_host_is_set_the_same_ways() {
    let taken =
        ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"].map(|address| TcpListener::bind(address).unwrap());
    let [file, variable, flag] = taken.each_ref().map(|address| address.local_addr().unwrap());
    let config = "ingress: { host: 127.0.0.1 }\n";
    for (variables, flags, address) in [
        (vec![], vec![], file),
        (vec![("HOST", "127.0.0.2")], vec![], variable),
        (vec![("HOST", "127.0.0.2")], vec!["--host", "127.0.0.3"], flag),
    ] {
        let port = address.port().to_string();
        let flags = [flags, vec!["--port", &port]].concat();
        let said = up(config, &variables, &flags);
        assert!(said.contains(&address.to_string()), "{said}");
    }
}

#[test]
fn the_operators_port_that_is_taken_is_told_before_anything_is_opened() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = up("{}", &[], &["--port", "0", "--admin-port", &port]);
    assert!(said.contains("the operators' listener on 127.0.0.1:"), "{said}");
}

#[test]
fn a_model_name_that_names_nothing_is_refused_with_what_there_is() {
    let said = up(
        "{}",
        &[("MODEL_NAME", "gpt-5")],
        &["--port", "0", "--admin-port", "0"],
    );
    assert!(said.contains("MODEL_NAME) is `gpt-5`"), "{said}");
    assert!(said.contains("use one of: relay-chat, "), "{said}");
}
