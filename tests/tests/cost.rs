//! What a run costs that did not come to its end, on every page that tells it: the trace, the access line, the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use relay_tests::mock::executions;
use relay_tests::takeover::sum;
use serde_json::{Value, json};

/// A gateway whose endpoint says a word every 20 ms, for ever, at a millionth of a dollar a token of the prompt and two a word.
fn prepared() -> Gateway {
    let gateway =
        Gateway::prepare(KILLABLE, &["--token-ms", "20", "--tokens", "1000000"]).expect("it is prepared");
    let models = gateway.folder.path().join("models.yaml");
    let mut text = std::fs::read_to_string(&models).expect("it was written");
    text.push_str("    price: { prompt: 1000000, completion: 2000000 }\n");
    std::fs::write(models, text).expect("written");
    // The end of a run whose deadline has passed is waited for, on any machine.
    gateway
        .reconfigure("grace: 2000ms", "grace: 1m")
        .expect("it is configured");
    gateway
}

fn asked(gateway: &Gateway, content: &str, stream: bool) -> reqwest::RequestBuilder {
    let messages = json!([{ "role": "user", "content": content }]);
    let body = json!({ "model": "mock", "stream": stream, "max_tokens": 1_000_000, "messages": messages });
    let url = format!("{}/v1/chat/completions", gateway.base_url);
    http::client().post(url).json(&body)
}

/// Reads of a stream until it says something.
async fn begun(response: reqwest::Response) -> impl Sized {
    let mut pieces = response.bytes_stream();
    loop {
        let piece = pieces.next().await.expect("it goes on").expect("it goes on");
        if std::str::from_utf8(&piece).is_ok_and(|text| text.contains("content\":\"")) {
            return pieces;
        }
    }
}

/// The access lines so far, by the id of the request.
fn lines(gateway: &Gateway) -> BTreeMap<String, Value> {
    let log = gateway.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["target"] == "relay::access")
        .map(|mut line| {
            let fields = line["fields"].take();
            let told = if fields.is_object() { fields } else { line };
            (told["id"].as_str().unwrap_or_default().to_owned(), told)
        })
        .collect()
}

/// The same, once there are so many.
async fn when(gateway: &Gateway, count: usize) -> BTreeMap<String, Value> {
    for _ in 0..6_000 {
        let lines = lines(gateway);
        if lines.len() >= count {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} lines never came: {}", gateway.tail());
}

async fn outcome(gateway: &Gateway, id: &str) -> Value {
    let page = format!("/admin/traces/{id}?format=json");
    gateway
        .until(&page, |text| text.contains("\"outcome\""))
        .await
        .expect("its trace");
    let page = http::get(&format!("{}{page}", gateway.ops_url)).await;
    let mut trace: Value = page.expect("it is there").json().await.expect("JSON");
    trace["outcome"].take()
}

/// Prompt and completion tokens of an outcome that follows from its usage and the prices, and says that its prompt is an estimate.
fn charged(outcome: &Value) -> [u64; 2] {
    let tokens = ["prompt_tokens", "completion_tokens"].map(|kind| outcome["usage"][kind].as_u64());
    let [Some(prompt), Some(completion)] = tokens else {
        panic!("no usage: {outcome}")
    };
    assert!(prompt > 0, "{outcome}");
    assert_eq!(
        outcome["cost_micro_usd"].as_u64(),
        Some(prompt + 2 * completion),
        "{outcome}"
    );
    let message = outcome["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(&format!(
            "{prompt} tokens of its prompt (estimated), {completion} of its answer"
        )),
        "{message}"
    );
    [prompt, completion]
}

fn agree(line: &Value, outcome: &Value) {
    let told = ["tokens_in", "tokens_out", "cost_micro_usd"].map(|name| line[name].clone());
    let usage = &outcome["usage"];
    let recorded = [
        &usage["prompt_tokens"],
        &usage["completion_tokens"],
        &outcome["cost_micro_usd"],
    ];
    assert_eq!(told.each_ref(), recorded, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_client_goes_or_whose_deadline_passes_is_charged_in_trace_access_line_and_metrics() {
    let mut gateway = prepared();
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let streamed = asked(&gateway, "a stream", true).send().await.expect("its head");
    drop(begun(streamed).await);
    when(&gateway, 1).await;
    let whole = tokio::spawn(asked(&gateway, "a whole", false).send());
    while executions(gateway.backend()).await.expect("it counts") < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    whole.abort();
    // Long enough to be on its way by then, on any machine.
    let late = asked(&gateway, "too late", false).header("x-relay-deadline-ms", "6000");
    let late = late.send().await.expect("it is told");
    assert_eq!(late.status().as_u16(), 504);

    let lines = when(&gateway, 3).await;
    let (mut prompts, mut completions, mut cost) = (0, 0, 0);
    let mut ends = Vec::new();
    for (id, line) in &lines {
        let outcome = outcome(&gateway, id).await;
        let [prompt, completion] = charged(&outcome);
        agree(line, &outcome);
        ends.push((line["status"].as_u64(), outcome["status"].clone()));
        (prompts, completions) = (prompts + prompt, completions + completion);
        cost += prompt + 2 * completion;
    }
    ends.sort_by_key(|(status, _)| *status);
    let [gone, expired] = [(Some(499), json!("cancelled")), (Some(504), json!("expired"))];
    assert_eq!(ends, [gone.clone(), gone, expired]);
    let metrics = |text: &str| {
        let tokens = |kind: &str| sum(text, &format!("relay_tokens_total{{kind=\"{kind}\""));
        tokens("prompt") == prompts
            && tokens("completion") == completions
            && sum(text, "relay_trace_sink_cost_micro_usd_total") == cost
    };
    gateway
        .until("/metrics", metrics)
        .await
        .expect("they say the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_drain_cuts_is_charged_in_trace_and_access_line() {
    let mut gateway = prepared();
    gateway
        .configure("drain_timeout: 300ms\n")
        .expect("it is configured");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    // Should it run on after the next start, it ends soon.
    let streamed = asked(&gateway, "a stream", true).header("x-relay-deadline-ms", "20000");
    let streamed = streamed.send().await.expect("its head");
    let mut pieces = Box::pin(streamed.bytes_stream());
    pieces.next().await.expect("it begins").expect("it begins");
    gateway.signal("TERM");
    let mut told = String::new();
    while let Some(Ok(piece)) = pieces.next().await {
        told.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(told.contains("\"shutting_down\""), "{told}");
    let status = gateway.wait(Duration::from_secs(60)).expect("it ends by itself");
    assert_eq!(status.code(), Some(3), "{}", gateway.tail());
    let lines = lines(&gateway);
    let (id, line) = lines.first_key_value().expect("it was written");
    assert_eq!(line["code"], "shutting_down", "{line}");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let outcome = outcome(&gateway, id).await;
    // On a slow machine the worker's time may be up before it hears of the cut; then the request ends otherwise.
    if outcome["status"] == "cancelled" {
        charged(&outcome);
    }
    if line["cost_micro_usd"].is_u64() {
        agree(line, &outcome);
    }
}
