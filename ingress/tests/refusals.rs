//! Bad input, limits and idempotency keys: what is refused, how, and what is recorded of it.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use harness::{Harness, completed, eventually, ms};
use relay_bus::topics;
use relay_schemas::{OutcomeStatus, Service};
use relay_settings::ByteSize;

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const OTHER: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Bye"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;

/// What it is, its path, headers and body.
type Call<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn bad_input_gets_an_openai_error_body_and_reaches_no_log_of_requests() {
    let harness = Harness::new().await;
    let long = format!(
        r#"{{"model":"tiny","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(1_000_000)
    );
    let calls: [Call<'_>; 11] = [
        ("malformed JSON", "/v1/chat/completions", &[], "{\"model\": "),
        (
            "a wrong type",
            "/v1/chat/completions",
            &[],
            r#"{"model":"tiny","messages":[{"role":"user","content":1}]}"#,
        ),
        ("too large", "/v1/chat/completions", &[], &long),
        (
            "announced too large",
            "/v1/chat/completions",
            &[("content-length", "99999999")],
            "",
        ),
        (
            "a bad tenant",
            "/v1/chat/completions",
            &[("x-tenant-id", "no/good")],
            WHOLE,
        ),
        (
            "a bad deadline",
            "/v1/chat/completions",
            &[("x-relay-deadline-ms", "soon")],
            WHOLE,
        ),
        (
            "a bad key",
            "/v1/chat/completions",
            &[("idempotency-key", "")],
            WHOLE,
        ),
        ("an unknown address", "/v2/chat", &[], WHOLE),
        ("the root", "/", &[], WHOLE),
        ("a wrong method", "/v1/models", &[], WHOLE),
        ("a wrong method for a probe", "/healthz", &[], ""),
    ];
    let mut table = Vec::new();
    for (what, path, headers, body) in calls {
        let response = harness::client::send(harness.address, "POST", path, headers, body.as_bytes()).await;
        assert!(response.header("x-request-id").is_some(), "{what}");
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{what}"
        );
        table.push(format!("{what}: {} {}", response.status, response.text()));
    }
    insta::assert_snapshot!(table.join("\n"));
    assert!(harness.nothing_taken(topics::REQUESTS));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused_while_it_arrives() {
    let harness = Harness::with(|config| config.limits.max_body = ByteSize::b(1_000)).await;
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    let body = format!("{chunk}{chunk}0\r\n\r\n");
    let chunked = [("transfer-encoding", "chunked")];
    let response = harness::client::send_raw(harness.address, "/v1/chat/completions", &chunked, &body).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (413, "request_too_large")
    );
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
    let harness = Harness::with(|config| config.timeouts.body = ms(30)).await;
    let response = harness.chat(&[("content-length", "500")], "{").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (408, "request_timeout")
    );
}

#[tokio::test]
async fn headers_that_do_not_arrive_are_not_waited_for_for_ever() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let harness = Harness::with(|config| config.timeouts.headers = ms(500)).await;
    let mut stream = tokio::net::TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(b"POST /v1/chat").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(harness::PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection was closed");
}

#[tokio::test]
async fn two_tenants_or_two_idempotency_keys_are_a_400() {
    let harness = Harness::new().await;
    for name in ["x-tenant-id", "idempotency-key"] {
        for second in ["a", "b"] {
            let response = harness.chat(&[(name, "a"), (name, second)], WHOLE).await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "repeated_header"),
                "{name}"
            );
            assert_eq!(response.json()["error"]["param"], name);
        }
    }
    assert!(harness.nothing_taken(topics::REQUESTS));
}

#[tokio::test]
async fn a_refusal_is_recorded_with_a_fresh_id_and_without_content() {
    let harness = Harness::new().await;
    let response = harness
        .chat(
            &[("x-tenant-id", "acme")],
            r#"{"model":"tiny","messages":"secret"}"#,
        )
        .await;
    let outcome = harness.recorded().await;
    assert_eq!(outcome.status, OutcomeStatus::Refused);
    assert_eq!(
        (outcome.tenant.as_str(), outcome.run.service),
        ("acme", Service::Ingress)
    );
    assert_eq!(response.header("x-request-id"), Some(outcome.request_id.as_str()));
    assert_eq!(outcome.code.as_deref(), Some("invalid_type"));
    assert_eq!(
        (outcome.request.is_none(), outcome.answer.is_none()),
        (true, true)
    );
    assert!(!outcome.message.unwrap().contains("secret"));
}

#[tokio::test]
async fn records_of_refusals_are_bounded_and_the_unnamed_leave_none() {
    let harness = Harness::with(|config| config.limits.refusals_per_second = 0).await;
    harness.chat(&[], "{}").await;
    harness.chat(&[("x-tenant-id", "no/good")], "{}").await;
    assert!(harness.nothing_taken(topics::OUTCOMES));
    assert_eq!(
        harness
            .metric("relay_ingress_refused_total{record=\"dropped\"}")
            .await,
        Some(1.0)
    );
}

#[tokio::test]
async fn one_too_many_is_a_429_that_says_when_to_come_back() {
    let harness = Harness::with(|config| {
        config.limits.max_in_flight = 2;
        config.limits.max_in_flight_per_tenant = 1;
        config.limits.retry_after = ms(2_500);
    })
    .await;
    let _first = harness.open(&[("x-tenant-id", "a")], WHOLE).await;
    harness.accepted().await;
    let hog = harness.chat(&[("x-tenant-id", "a")], WHOLE).await;
    assert_eq!((hog.status, hog.header("retry-after")), (429, Some("3")));
    assert!(hog.text().contains("this tenant"), "{}", hog.text());
    let _second = harness.open(&[("x-tenant-id", "b")], WHOLE).await;
    harness.accepted().await;
    let third = harness.chat(&[("x-tenant-id", "c")], WHOLE).await;
    assert_eq!(third.status, 429);
    assert!(third.text().contains("the gateway"), "{}", third.text());
    assert_eq!(third.json()["error"]["type"], "rate_limit_error");
    assert_eq!(
        third.header("x-should-retry"),
        Some("true"),
        "it may come back by itself"
    );
    let outcome = harness.recorded().await;
    assert_eq!(
        (outcome.code.as_deref(), outcome.retry_after_ms),
        (Some("too_many_in_flight"), Some(2_500))
    );
}

#[tokio::test]
async fn a_repeat_under_the_same_key_gets_the_recorded_answer() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let key = [("idempotency-key", "order-66"), ("x-tenant-id", "acme")];
    let (first, request) = tokio::join!(harness.chat(&key, WHOLE), async {
        let request = harness.accepted().await;
        harness.record(completed(&request, "once"));
        harness.complete(&request, "once").await;
        request
    });
    assert_eq!(first.header("x-request-id"), Some(request.request_id.as_str()));
    assert!(
        request
            .idempotency_key
            .as_deref()
            .is_some_and(|key| key.len() == 64)
    );

    let again = harness.chat(&key, WHOLE).await;
    assert_eq!(again.json()["choices"], first.json()["choices"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("x-request-id"), first.header("x-request-id"));
    let streamed = harness.chat(&key, STREAM).await;
    assert!(streamed.text().contains("\"content\":\"once\"") && streamed.text().contains("[DONE]"));
    let other_body = harness.chat(&key, OTHER).await;
    assert_eq!(
        (other_body.status, other_body.code().as_str()),
        (409, "idempotency_key_reused")
    );
    assert!(harness.nothing_taken(topics::REQUESTS), "it was accepted once");

    let other_tenant = [("idempotency-key", "order-66"), ("x-tenant-id", "umbrella")];
    let _open = harness.open(&other_tenant, OTHER).await;
    assert_ne!(
        harness.accepted().await.request_id,
        request.request_id,
        "a key is its tenant's own"
    );
}

#[tokio::test]
async fn a_repeat_meets_the_request_that_still_runs_here() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let key = [("idempotency-key", "k")];
    let mut first = harness.open(&key, STREAM).await;
    let request = harness.accepted().await;
    harness.frame(&request, 0, "Hel").await;
    first.until("Hel").await;
    assert_eq!(
        harness.chat(&key, OTHER).await.status,
        409,
        "another body under a running key"
    );
    let (again, ()) = tokio::join!(harness.chat(&key, WHOLE), async {
        eventually(async || {
            let waiting = harness.metric("llm_gateway_active_requests").await;
            (waiting == Some(2.0)).then_some(())
        })
        .await;
        harness.record(completed(&request, "Hello"));
        harness.end(&request, 1, &completed(&request, "Hello")).await;
    });
    assert_eq!(again.json()["choices"][0]["message"]["content"], "Hello");
    assert!(first.rest().await.text().contains("[DONE]"));
    assert!(harness.nothing_taken(topics::REQUESTS), "it was accepted once");
}

#[tokio::test]
async fn a_repeat_of_what_runs_elsewhere_is_published_again_and_answered_from_the_record() {
    let harness = Harness::with(|config| config.answers.keyed_silence = ms(20)).await;
    harness.serve_sink().await;
    let key = [("idempotency-key", "k")];
    let (response, ()) = tokio::join!(harness.chat(&key, WHOLE), async {
        // The frames go to the ingress that accepted it first; this one hears nothing.
        let request = harness.accepted().await;
        harness.record(completed(&request, "elsewhere"));
    });
    assert_eq!(response.json()["choices"][0]["message"]["content"], "elsewhere");
}

/// Else what ended and was paid for would run again, or its client would wait for an end that was told long ago.
#[tokio::test]
async fn while_no_sink_can_tell_a_request_under_a_key_is_told_so_and_others_go_on() {
    let harness = Harness::with(|config| config.answers.untold = ms(100)).await;
    let key = [("idempotency-key", "k")];
    let refused = harness.chat(&key, WHOLE).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "idempotency_unavailable")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        refused.header("x-should-retry"),
        Some("true"),
        "to ask again is safe"
    );
    assert!(refused.text().contains("ask again with the same key"));
    assert!(harness.nothing_taken(topics::REQUESTS), "it was not accepted");
    let (unkeyed, ()) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        harness.complete(&request, "without a key").await;
    });
    assert_eq!(unkeyed.status, 200);

    harness.serve_sink().await;
    let (first, ()) = tokio::join!(harness.chat(&key, WHOLE), async {
        let request = harness.accepted().await;
        harness.record(completed(&request, "once"));
        harness.complete(&request, "once").await;
    });
    assert_eq!(first.status, 200, "{}", first.text());
}

#[tokio::test]
async fn a_client_with_a_key_that_goes_away_leaves_its_request_running() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let mut cancels = harness.cancels().await;
    let open = harness.open(&[("idempotency-key", "k")], WHOLE).await;
    harness.accepted().await;
    drop(open);
    eventually(async || {
        let gone = harness.metric("relay_ingress_clients_gone_total").await;
        (gone == Some(1.0)).then_some(())
    })
    .await;
    let heard = tokio::time::timeout(std::time::Duration::from_millis(60), cancels.next()).await;
    assert!(heard.is_err(), "who has a key may come back and ask");
}

#[tokio::test]
async fn probes_and_metrics_answer() {
    let harness = Harness::new().await;
    assert_eq!(harness.get("/healthz").await.text(), r#"{"status":"ok"}"#);
    assert_eq!(harness.get("/readyz").await.json()["status"], "ready");
    assert_eq!(harness.get("/nowhere").await.status, 404);
    for address in ["/", "/v1", "/v1/"] {
        let root = harness.get(address).await.json();
        assert_eq!(
            (&root["api"], &root["ready"]),
            (&"/v1".into(), &"/readyz".into()),
            "{address}"
        );
    }
    harness.chat(&[("x-relay-deadline-ms", "x")], WHOLE).await;
    let metrics = harness.get("/metrics").await.text();
    let mut names: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    names.sort_unstable();
    insta::assert_snapshot!(names.join("\n"));
}
