//! What Ctrl-C (SIGINT) and a service manager's SIGTERM do, once and twice; and the line that is printed to be tried.

use std::process::Command;
use std::time::{Duration, Instant};

use relay_tests::ask::{End, Manner, Observation, ask, unique_prompt};
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use relay_tests::takeover::sum;
use tokio::task::JoinHandle;

const SIGNALS: [&str; 2] = ["INT", "TERM"];

/// A gateway at work: a stream that begins after `first_ms`, and whose request has reached a worker.
async fn at_work(first_ms: &str) -> (Gateway, JoinHandle<Observation>) {
    let gateway = Gateway::start(KILLABLE, &["--first-ms", first_ms])
        .await
        .expect("it starts");
    let base = gateway.base_url.clone();
    let prompt = unique_prompt(9_000_000);
    let asked = tokio::spawn(async move {
        ask(
            &http::client(),
            &base,
            "tenant-0",
            &prompt,
            Manner::Streamed,
            None,
        )
        .await
    });
    let works = |text: &str| sum(text, "relay_workers_in_flight_requests{") > 0;
    gateway.until("/metrics", works).await.expect("it works");
    (gateway, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_lets_a_stream_in_flight_finish_and_ends_with_success() {
    for signal in SIGNALS {
        let (mut gateway, asked) = at_work("3000").await;
        gateway.signal(signal);
        assert_eq!(
            asked.await.expect("the client ends").end,
            End::Finished("stop".to_owned()),
            "{signal}"
        );
        let status = gateway.wait(Duration::from_secs(20)).expect("it ends by itself");
        assert!(status.success(), "{signal}: {status}: {}", gateway.tail());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_says_that_it_was_no_drain() {
    for signal in SIGNALS {
        let (mut gateway, asked) = at_work("60000").await;
        gateway.signal(signal);
        let draining = |text: &str| text.contains("\"draining\":true");
        gateway.until("/readyz", draining).await.expect("it says so");
        gateway.signal(signal);
        let status = gateway.wait(Duration::from_secs(10)).expect("it does not wait");
        assert_eq!(status.code(), Some(1), "{signal}: {}", gateway.tail());
        assert!(
            gateway.tail().contains("stopped before the drain was over"),
            "{signal}"
        );
        let saw = asked.await.expect("the client ends");
        assert!(!matches!(saw.end, End::Finished(_)), "{signal}: {saw:?}");
    }
}

/// The command below "Try it:", with its continuation lines.
fn printed_command(banner: &str) -> String {
    let (_, tried) = banner.split_once("Try it:").expect("the banner says what to try");
    let mut command = String::new();
    for line in tried.trim_start().lines() {
        command.push_str(line);
        command.push('\n');
        if !line.ends_with('\\') {
            break;
        }
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_that_relay_up_prints_works_when_pasted() {
    let gateway = Gateway::start(KILLABLE, &[]).await.expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    // What the process prints goes into its log.
    while !gateway.log().contains("Ctrl-C drains") {
        assert!(Instant::now() < deadline, "no banner: {}", gateway.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let command = printed_command(&gateway.log());
    assert!(
        command.starts_with("curl ") && command.contains(&gateway.base_url),
        "what is printed to be tried is: {command}"
    );
    let found = Command::new("curl").arg("--version").output();
    assert!(
        found.is_ok(),
        "curl is missing on this machine, and people are told to use it"
    );
    let pasted = Command::new("sh")
        .args(["-c", &command])
        .output()
        .expect("there is a shell");
    let (answer, told) = (
        String::from_utf8_lossy(&pasted.stdout),
        String::from_utf8_lossy(&pasted.stderr),
    );
    assert!(pasted.status.success(), "{command}{told}");
    // The mock says the words of the question again.
    assert!(text_in(&answer).contains("capital of"), "{command}{answer}{told}");
}

/// The text of an answer, whole or as events.
fn text_in(answer: &str) -> String {
    let text = |json: &str, part: &str| {
        let value: serde_json::Value = serde_json::from_str(json).ok()?;
        value["choices"][0][part]["content"].as_str().map(str::to_owned)
    };
    let pieces = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    text(answer, "message").unwrap_or_else(|| pieces.filter_map(|piece| text(piece, "delta")).collect())
}
