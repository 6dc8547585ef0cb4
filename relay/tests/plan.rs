//! `relay plan`: as the pages show it, from standard input, and what it ends with where there is no plan.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CHAT: &str = r#"{"messages": [{"role": "user", "content": "Hello"}]}"#;

/// What a shell says to `command`, where `relay` is ours.
fn shell(command: &str, folder: &Path) -> Output {
    let relay = Path::new(env!("CARGO_BIN_EXE_relay")).parent().unwrap();
    let path = format!("{}:{}", relay.display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .args(["-ec", command])
        .env_clear()
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// `relay plan` with `input` piped in.
fn plan(input: &str, flags: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relay"))
        .env_clear()
        .arg("plan")
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses its flags reads nothing.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, error)
}

/// Hashes change with the policy; a page shows `…` for each.
fn without_hashes(text: &str) -> String {
    let of_hash = |letter: char| letter.is_ascii_digit() || ('a'..='f').contains(&letter);
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(of_hash) {
        let length = rest[start..]
            .find(|letter| !of_hash(letter))
            .unwrap_or(rest.len() - start);
        let word = &rest[start..start + length];
        shown.push_str(&rest[..start]);
        shown.push_str(if length == 64 { "…" } else { word });
        rest = &rest[start + length..];
    }
    shown + rest
}

#[test]
fn the_pages_commands_plan_and_print_what_the_pages_show() {
    let mut ran = 0;
    let mut compared = 0;
    for page in ["README.md", "docs/policy.md", "docs/first-ten-minutes.md"] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)).unwrap();
        for block in text.split("```sh\n").skip(1) {
            let (command, after) = block.split_once("\n```").unwrap();
            if !command.contains("relay plan") {
                continue;
            }
            ran += 1;
            let folder = tempfile::tempdir().unwrap();
            let output = shell(&command.replace("target/release/relay", "relay"), folder.path());
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{page}: {command}\n{said}");
            if let Some(shown) = after.trim_start().strip_prefix("```text\n") {
                compared += 1;
                let shown = shown.split("```").next().unwrap();
                let printed = String::from_utf8(output.stdout).unwrap();
                assert_eq!(without_hashes(&printed), shown, "{page}: {command}");
            }
        }
    }
    assert!(ran >= 3 && compared >= 1, "{ran} commands, {compared} compared");
}

#[test]
fn a_request_that_is_refused_has_no_plan_and_ends_with_1() {
    let unknown = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}"#;
    let (code, out, error) = plan(unknown, &[]);
    assert_eq!(
        (code, error.as_str()),
        (Some(1), "relay: no plan: model_not_found\n")
    );
    assert!(
        out.contains("no plan     model_not_found: ") && out.contains("models      relay-chat, "),
        "{out}"
    );
    let (code, out, _) = plan(unknown, &["--json"]);
    assert_eq!(code, Some(1));
    let refusal: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(refusal["refusal"]["code"], "model_not_found");
    let (code, out, error) = plan(r#"{"messages": 7}"#, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(error.starts_with("relay: no plan: standard input: "), "{error}");
}

#[test]
fn a_request_comes_from_standard_input_and_its_class_decides() {
    let (code, interactive, _) = plan(CHAT, &["--request", "-"]);
    assert_eq!(code, Some(0));
    assert!(interactive.contains("class interactive\n"), "{interactive}");
    let (code, batch, _) = plan(CHAT, &["--class", "batch", "--tenant", "acme"]);
    assert_eq!(code, Some(0), "what is piped in needs no flag");
    assert!(
        batch.contains("chat of tenant acme, ") && batch.contains("class batch\n"),
        "{batch}"
    );
    let (code, _, error) = plan(" \n", &[]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("standard input is empty") && error.contains("--request FILE"),
        "{error}"
    );
}
