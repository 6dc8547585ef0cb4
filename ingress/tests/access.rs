//! The access line: one a request, with who asked for what and what became of it, and nothing that was said.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::io::Write;
use std::sync::Arc;

use harness::batch::{Batch, GOOD};
use harness::{Harness, completed, eventually, failed};
use parking_lot::Mutex;
use relay_control::{Delivery, Listener};
use relay_schemas::{Cancel, MicroUsd, Outcome, OutcomeStatus, Request, Service, TokenCount, Usage};
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

/// Takes the lines from now on of all that runs on this thread, as everything of one test does.
fn logging() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish()
        .with(Targets::new().with_target("relay::access", tracing_subscriber::filter::LevelFilter::INFO));
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn each_request_has_one_line_without_prompt_or_secret() {
    let (lines, logging) = logging();
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

#[tokio::test]
async fn an_access_line_has_these_fields_and_no_others_whole_and_streamed() {
    let (lines, logging) = logging();
    let harness = Harness::new().await;
    let headers = [
        ("x-tenant-id", "acme"),
        ("authorization", "Bearer sk-very-secret"),
    ];
    for body in [WHOLE, STREAM] {
        tokio::join!(harness.chat(&headers, body), async {
            let request = harness.accepted().await;
            harness.complete(&request, "an answer").await;
        });
    }
    let told = lines.when(2).await;
    drop(logging);
    let fields = |line: &Value| {
        let mut fields: Vec<String> = line.as_object().unwrap().keys().cloned().collect();
        fields.sort_unstable();
        fields.join(" ")
    };
    // When, how grave, by whom and the message are the log's own.
    assert_eq!(
        fields(&told[0]),
        "attempts cache cost_micro_usd id key latency_ms level message model operation status target tenant \
         timestamp tokens_in tokens_out"
    );
    assert_eq!(
        fields(&told[1]),
        "attempts cache cost_micro_usd id key latency_ms level message model operation status target tenant \
         timestamp tokens_in tokens_out ttft_ms"
    );
}

/// The end of a run that was cancelled under way.
fn charged(request: &Request) -> Outcome {
    Outcome {
        usage: Usage {
            prompt_tokens: TokenCount(9),
            completion_tokens: TokenCount(4),
        },
        cost_micro_usd: MicroUsd(17),
        ..failed(request, Service::Workers, OutcomeStatus::Cancelled, "cancelled")
    }
}

/// Waits until it was noticed that the client of `request` is gone.
async fn cancelled(cancels: &mut Listener<Cancel>, request: &Request) {
    let noticed = async {
        loop {
            match cancels.next().await {
                Some(Delivery::Message(cancel)) if cancel.request_id == request.request_id => return,
                Some(_) => {}
                None => panic!("the control seam closed"),
            }
        }
    };
    tokio::time::timeout(harness::PATIENCE, noticed).await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_before_the_end_of_its_answer_is_a_499_with_the_id_that_it_was_given() {
    let (lines, _logging) = logging();
    let harness = Harness::new().await;
    let mut cancels = harness.cancels().await;
    let waiting = harness.open(&[], WHOLE).await;
    let before_the_head = harness.accepted().await;
    drop(waiting);
    cancelled(&mut cancels, &before_the_head).await;
    harness.append(&charged(&before_the_head)).await;
    let told = lines.when(1).await;
    let mut open = harness.open(&[], STREAM).await;
    let broken_off = harness.accepted().await;
    harness.frame(&broken_off, 0, "a secret").await;
    open.until("a secret").await;
    drop(open);
    cancelled(&mut cancels, &broken_off).await;
    harness.append(&charged(&broken_off)).await;
    let told = [told, lines.when(2).await].concat();
    for (line, request) in [(&told[0], before_the_head), (&told[2], broken_off)] {
        assert_eq!(line["id"], request.request_id.as_str(), "{line}");
        assert_eq!(
            (&line["status"], &line["code"]),
            (&499.into(), &"cancelled".into())
        );
        // Before, the line was written without them, before they were known.
        assert_eq!(
            [&line["tokens_in"], &line["tokens_out"], &line["cost_micro_usd"]],
            [9, 4, 17],
            "{line}"
        );
    }
    let counted = r#"relay_tokens_total{kind="prompt",model="other",tenant="default"}"#;
    assert_eq!(harness.metric(counted).await, Some(18.0));
    assert!(
        told[0].get("ttft_ms").is_none() && told[2]["ttft_ms"].is_u64(),
        "{told:?}"
    );
}

#[tokio::test]
async fn each_batch_line_that_has_ended_has_one_line_too() {
    let (lines, _logging) = logging();
    let batch = Batch::new().await;
    let request = batch.request("7").await;
    batch.outcome(&completed(&request, "a secret answer")).await;
    let lost = failed(&request, Service::Scheduler, OutcomeStatus::Failed, "worker_lost");
    batch.outcome(&lost).await;
    let told = lines.when(1).await;
    let answered = &told[0];
    assert_eq!(answered["id"], request.request_id.as_str());
    for (name, value) in [
        ("tenant", "acme"),
        ("operation", "chat"),
        ("model", "tiny"),
        ("batch", "nightly"),
        ("line", "7"),
        ("cache", "off"),
    ] {
        assert_eq!(answered[name], value, "{answered}");
    }
    for (name, value) in [
        ("status", 200),
        ("tokens_in", 9),
        ("tokens_out", 4),
        ("cost_micro_usd", 0),
        ("attempts", 0),
    ] {
        assert_eq!(answered[name], value, "{answered}");
    }
    assert!(answered.get("code").is_none(), "{answered}");

    let mut another = request.clone();
    (another.request_id, another.batch.as_mut().unwrap().custom_id) = ("another".into(), "8".to_owned());
    let unplanned = failed(
        &another,
        Service::Planner,
        OutcomeStatus::Failed,
        "model_not_found",
    );
    batch.outcome(&unplanned).await;
    lines.when(2).await;
    batch
        .line("9", r#"{"model":"tiny","messages":[],"user":"a secret"}"#)
        .await;
    lines.when(3).await;
    batch.garbage(Some("10")).await;
    let told = lines.when(4).await;
    let said: Vec<_> = told[1..]
        .iter()
        .map(|line| {
            (
                line["line"].as_str(),
                line["status"].as_u64(),
                line["code"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (Some("8"), Some(404), Some("model_not_found")),
            (Some("9"), Some(400), Some("invalid_value")),
            (Some("10"), Some(400), Some("unreadable_line")),
        ]
    );
    let text = format!("{told:?}");
    assert!(!text.contains("secret"), "{text}");
    // Whatever else the line led to would stand before the next one's.
    batch.line("11", &GOOD.replace("\"tiny\"", "7")).await;
    assert_eq!(lines.when(5).await.len(), 5);
}
