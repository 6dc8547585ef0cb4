//! The access line: one a request, with who asked for what and what became of it, and nothing that was said.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::io::Write;
use std::sync::Arc;

use harness::{Harness, eventually};
use parking_lot::Mutex;
use serde_json::Value;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"a secret prompt"}]}"#;
const STREAM: &str =
    r#"{"model":"tiny","messages":[{"role":"user","content":"a secret prompt"}],"stream":true}"#;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines once there are so many.
    async fn when(&self, count: usize) -> Vec<Value> {
        eventually(async || {
            let text = String::from_utf8(self.0.lock().clone()).unwrap();
            let lines: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

#[tokio::test]
async fn each_request_has_one_line_without_prompt_or_secret() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish()
        .with(Targets::new().with_target("relay::access", tracing_subscriber::filter::LevelFilter::INFO));
    // Everything of this test runs on its own thread.
    let logging = tracing::subscriber::set_default(subscriber);
    let harness = Harness::new().await;
    let headers = [
        ("x-tenant-id", "acme"),
        ("authorization", "Bearer sk-very-secret"),
    ];
    for body in [WHOLE, STREAM] {
        let (response, ()) = tokio::join!(harness.chat(&headers, body), async {
            let request = harness.accepted().await;
            harness.complete(&request, "a secret answer").await;
        });
        assert_eq!(response.status, 200, "{}", response.text());
    }
    harness.chat(&headers, r#"{"model":"tiny","messages":[]}"#).await;
    let told = lines.when(3).await;
    drop(logging);
    assert_eq!(told.len(), 3, "{told:?}");
    for line in &told {
        let text = line.to_string();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(
            (&line["tenant"], &line["operation"]),
            (&"acme".into(), &"chat".into())
        );
        assert_eq!(line["key"].as_str().unwrap().len(), 12, "{text}");
        assert!(line["id"].is_string() && line["latency_ms"].is_u64(), "{text}");
    }
    for line in &told[..2] {
        assert_eq!((&line["status"], &line["model"]), (&200.into(), &"tiny".into()));
        assert_eq!((&line["tokens_in"], &line["tokens_out"]), (&9.into(), &4.into()));
        assert!(line["cost_micro_usd"].is_i64() && line["attempts"].is_u64() && line["cache"].is_string());
        assert!(line.get("code").is_none(), "{line}");
    }
    assert_eq!(
        (&told[2]["status"], told[2]["code"].is_string()),
        (&400.into(), true)
    );
}
