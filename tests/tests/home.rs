//! Relay as it is unpacked: the executable, what lies beside it, and any working folder.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use relay_tests::files::{executable, free_port, root};
use relay_tests::gateway::KILLABLE;
use relay_tests::http;
use relay_tests::process::Process;
use serde_json::{Value, json};

/// Where the executable and ONNX Runtime lie in a release, and in a checkout.
const LAYOUTS: [[&str; 2]; 2] = [
    ["relay", "lib/libonnxruntime.so"],
    [
        "target/release/relay",
        ".relay/tools/onnxruntime/libonnxruntime.so",
    ],
];

/// Relay's own folder.
fn unpacked(home: &Path, [program, runtime]: [&str; 2]) {
    let own = executable(KILLABLE).expect("it is built");
    for file in [program, runtime] {
        let folder = home.join(file).parent().expect("it is below").to_owned();
        std::fs::create_dir_all(folder).expect("a folder");
    }
    // A copy is large, and a link to elsewhere would be followed to what lies there.
    std::fs::hard_link(&own, home.join(program))
        .or_else(|_| std::fs::copy(&own, home.join(program)).map(drop))
        .expect("the executable");
    let library = std::env::var_os("RELAY_ONNXRUNTIME").map_or_else(
        || root().join(".relay/tools/onnxruntime/libonnxruntime.so"),
        Into::into,
    );
    std::os::unix::fs::symlink(library, home.join(runtime)).expect("ONNX Runtime");
    std::os::unix::fs::symlink(root().join("models"), home.join("models")).expect("the models");
}

fn relay(program: &Path, working: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(working).args(arguments);
    for variable in ["RELAY_ONNXRUNTIME", "RELAY_HOME", "RELAY_CONFIG", "RELAY_DATA"] {
        command.env_remove(variable);
    }
    command
}

async fn until_ready(url: &str, process: &Process) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Ok(response) = http::get(url).await
            && response.status().is_success()
        {
            return;
        }
        assert!(Instant::now() < deadline, "never ready: {}", process.tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a dependency is told as may change between two questions.
async fn both_listeners_say_the_same(path: &str, ports: [u16; 2]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut said = Vec::new();
        for port in ports {
            let response = http::get(&format!("http://127.0.0.1:{port}{path}")).await;
            let response = response.expect("an answer");
            said.push((response.status(), response.text().await.expect("a body")));
        }
        if said[0] == said[1] {
            return;
        }
        assert!(Instant::now() < deadline, "{path}: {said:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_up_works_from_any_folder_and_is_asked_for_its_health() {
    for layout in LAYOUTS {
        works(layout).await;
    }
}

async fn works(layout: [&str; 2]) {
    let [home, working] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    unpacked(home.path(), layout);
    let program = home.path().join(layout[0]);
    let (port, ops) = (free_port(), free_port());
    let [api, admin] = [port, ops].map(|port| port.to_string());
    let healthcheck = || -> Output {
        let mut command = relay(
            &program,
            working.path(),
            &["healthcheck", "--admin-port", &admin, "--timeout", "1m"],
        );
        command.output().expect("it runs")
    };
    let told = healthcheck();
    assert_eq!(told.status.code(), Some(1), "nothing runs yet");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains(&format!("127.0.0.1:{ops}")), "{told}");

    let up = ["up", "--port", &api, "--admin-port", &admin];
    let log = home.path().join("relay.log");
    let process = Process::start(relay(&program, working.path(), &up), &log).expect("it starts");
    until_ready(&format!("http://127.0.0.1:{ops}/readyz"), &process).await;
    assert!(healthcheck().status.success());
    for path in ["/healthz", "/readyz"] {
        both_listeners_say_the_same(path, [port, ops]).await;
    }
    let body = json!({ "model": "relay-chat", "messages": [{ "role": "user", "content": "What is the capital of France?" }] });
    let request = http::client().post(format!("http://127.0.0.1:{port}/v1/chat/completions"));
    let answer: Value = request
        .json(&body)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(answer["choices"][0]["message"]["content"].is_string(), "{answer}");
    assert!(
        working.path().join("relay-data/log").is_dir(),
        "its data lies where it was started"
    );
}

#[test]
fn a_relay_without_its_models_says_where_it_looked_and_how_they_are_named() {
    let [home, working] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    unpacked(home.path(), LAYOUTS[0]);
    std::fs::remove_file(home.path().join("models")).expect("it was there");
    let [api, admin] = [free_port(), free_port()].map(|port| port.to_string());
    let mut up = relay(
        &home.path().join("relay"),
        working.path(),
        &["up", "--port", &api, "--admin-port", &admin],
    );
    let ended = up.output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    let beside = home.path().join("models/models.yaml");
    let here = working.path().join("models/models.yaml");
    for word in [
        beside.to_str().expect("text"),
        here.to_str().expect("text"),
        "`workers.models`",
        "RELAY_HOME",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let left = std::fs::read_dir(working.path()).expect("a folder").count();
    assert_eq!(left, 0, "a failed start leaves nothing behind");
}
