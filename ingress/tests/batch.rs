//! The batch half on the embedded log: lines in, requests out, outcomes in, results out.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use std::sync::Arc;

use harness::batch::{Batch, GOOD, line_of};
use harness::{completed, eventually, failed, read};
use relay_bus::testing::Mood;
use relay_bus::topics::{BATCH_REQUESTS, BATCH_RESULTS, OUTCOMES, REQUESTS};
use relay_bus::{Headers, Outgoing, header};
use relay_schemas::{BatchResult, Class, OutcomeStatus, Request, Service, encode};

#[tokio::test]
async fn a_line_becomes_a_request_once_there_is_room_and_its_first_outcome_a_result() {
    let batch = Batch::new().await;
    batch.line("7", GOOD).await;
    eventually(async || {
        batch.pool(15).await;
        batch.waits_for_room().then_some(())
    })
    .await;
    assert_eq!(batch.held(REQUESTS).await, 0, "the batch class is full");
    eventually(async || {
        batch.pool(0).await;
        (batch.held(REQUESTS).await == 1).then_some(())
    })
    .await;
    let mut requests = batch.reader(REQUESTS).await;
    let request: Request = read(&requests.next().await);
    assert_eq!(
        (
            request.class,
            request.tenant.as_str(),
            request.reply_to.as_deref()
        ),
        (Class::Batch, "acme", None)
    );

    batch.outcome(&completed(&request, "Hello")).await;
    batch
        .outcome(&failed(
            &request,
            Service::Scheduler,
            OutcomeStatus::Failed,
            "worker_lost",
        ))
        .await;
    let mut interactive = request.clone();
    interactive.request_id = "someone-waits".into();
    interactive.class = Class::Interactive;
    interactive.batch = None;
    batch.outcome(&completed(&interactive, "not a batch")).await;
    let mut second = request.clone();
    second.request_id = "second".into();
    batch
        .outcome(&failed(
            &second,
            Service::Planner,
            OutcomeStatus::Failed,
            "model_not_found",
        ))
        .await;

    let mut results = batch.reader(BATCH_RESULTS).await;
    let mut found: Vec<BatchResult> = vec![];
    while found.len() < 2 {
        found.push(read(&results.next().await));
    }
    found.sort_by_key(|result| result.status_code);
    let summary: Vec<_> = found
        .iter()
        .map(|result| (result.request_id.clone(), result.status_code))
        .collect();
    assert_eq!(
        summary,
        [(request.request_id.clone(), 200), ("second".into(), 404)]
    );
    eventually(async || {
        batch
            .metric(r#"relay_outcomes_superseded_total{service="ingress"} 1"#)
            .then_some(())
    })
    .await;
    let body: serde_json::Value = serde_json::from_str(&found[0].body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hello");
    assert_eq!(
        (found[0].batch_id.as_str(), found[0].custom_id.as_str()),
        ("nightly", "7")
    );
    assert!(found[1].body.contains("model_not_found"));
}

#[tokio::test]
async fn lines_wait_while_the_disk_of_the_log_is_nearly_full() {
    let batch = Batch::new().await;
    batch.bus.be(Mood::Short);
    batch.line("7", GOOD).await;
    eventually(async || {
        batch.pool(0).await;
        batch.waits_for_room().then_some(())
    })
    .await;
    tokio::time::sleep(harness::ms(200)).await;
    assert_eq!(
        batch.held(REQUESTS).await,
        0,
        "there is room in the pool, but not on the disk"
    );
    batch.bus.be(Mood::Works);
    eventually(async || {
        batch.pool(0).await;
        (batch.held(REQUESTS).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_outcome_gives_no_second_result_after_a_restart_either() {
    let mut batch = Batch::new().await;
    let request = batch.request("7").await;
    batch.outcome(&completed(&request, "Hello")).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!((result.custom_id.as_str(), result.status_code), ("7", 200));
    batch.restart().await;

    let lost = failed(&request, Service::Scheduler, OutcomeStatus::Failed, "worker_lost");
    batch.outcome(&lost).await;
    let mut other = request.clone();
    other.request_id = "other".into();
    batch.outcome(&completed(&other, "Hi")).await;
    // The same result may come once more, as its commit may have been lost; a different one must not.
    loop {
        let result: BatchResult = read(&results.next().await);
        assert_eq!(result.status_code, 200, "{}", result.body);
        if result.request_id.as_str() == "other" {
            break;
        }
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_for_its_topic_is_told_to_its_sender() {
    let batch = Batch::new().await;
    let request = batch.request("7").await;
    batch.outcome(&completed(&request, &"\"".repeat(4_000))).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!((result.custom_id.as_str(), result.status_code), ("7", 500));
    assert!(result.body.contains("answer_unavailable"), "{}", result.body);

    let mut bare = completed(&request, "");
    (bare.request_id, bare.run.attempt) = ("bare".into(), 2);
    Arc::make_mut(bare.answer.as_mut().unwrap()).drop_content();
    batch.outcome(&bare).await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!(
        result.status_code, 500,
        "its record has no content: {}",
        result.body
    );
    assert!(result.body.contains("answer_unavailable"), "{}", result.body);
}

#[tokio::test]
async fn a_line_that_cannot_be_run_gets_a_result_that_says_why_and_garbage_a_dead_letter() {
    let batch = Batch::new().await;
    batch.garbage(None).await;
    batch.line("8", r#"{"model":"tiny","messages":[]}"#).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!((result.custom_id.as_str(), result.status_code), ("8", 400));
    assert!(result.body.contains("`messages` is empty"), "{}", result.body);
    eventually(async || (batch.held(relay_bus::topics::DEAD_LETTERS).await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_line_of_which_only_the_headers_can_be_read_gets_one_result_that_says_why() {
    let batch = Batch::new().await;
    batch.garbage(Some("7")).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!(
        (result.batch_id.as_str(), result.custom_id.as_str()),
        ("nightly", "7")
    );
    assert_eq!((result.request_id.as_str(), result.status_code), ("", 400));
    let body: serde_json::Value = serde_json::from_str(&result.body).unwrap();
    assert_eq!(body["error"]["code"], "unreadable_line");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("partition 0, offset 0"), "{message}");
    assert!(
        message.contains("not in Avro single-object encoding"),
        "{message}"
    );

    // Whatever else it led to would lie before the next line's result.
    batch.line("8", "{}").await;
    let after: BatchResult = read(&results.next().await);
    assert_eq!(after.custom_id, "8");
    assert_eq!(batch.held(relay_bus::topics::DEAD_LETTERS).await, 1);
    assert_eq!(batch.held(OUTCOMES).await, 0, "it never was a request");
}

#[tokio::test]
async fn two_tenants_with_one_batch_and_one_line_get_a_result_each_also_where_the_line_is_bad() {
    let batch = Batch::new().await;
    let mut requests = batch.reader(REQUESTS).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    for tenant in ["acme", "umbrella"] {
        for (custom_id, body, status) in [("1", GOOD, 200), ("bad", "{}", 400)] {
            batch.line_of_tenant(tenant, custom_id, body).await;
            if status == 200 {
                eventually(async || {
                    batch.pool(0).await;
                    (batch.held(REQUESTS).await > i64::from(tenant != "acme")).then_some(())
                })
                .await;
                let request: Request = read(&requests.next().await);
                batch.outcome(&completed(&request, tenant)).await;
            }
            let record = results.next().await;
            let result: BatchResult = read(&record);
            assert_eq!((result.tenant.as_str(), result.status_code), (tenant, status));
            assert_eq!(
                record.key.as_deref(),
                Some(format!("{tenant}/nightly").as_bytes())
            );
            let named =
                [header::TENANT, header::BATCH_ID, header::CUSTOM_ID].map(|name| record.headers.text(name));
            assert_eq!(named, [Some(tenant), Some("nightly"), Some(custom_id)]);
        }
    }
}

#[tokio::test]
async fn lines_of_one_tenant_that_find_no_room_let_those_of_others_pass_and_come_once_there_is_room() {
    let batch = Batch::new().await;
    let hogs = 100;
    for number in 0..hogs {
        batch.line(&number.to_string(), GOOD).await;
    }
    batch.line_of_tenant("light", "1", GOOD).await;
    eventually(async || {
        // Half of the ten that may wait: a tenant gets no more than it leaves free.
        batch.pool_of("acme", 5).await;
        (batch.held(REQUESTS).await > 0).then_some(())
    })
    .await;
    let mut requests = batch.reader(REQUESTS).await;
    let first: Request = read(&requests.next().await);
    assert_eq!(first.tenant.as_str(), "light");
    assert_eq!(batch.held(REQUESTS).await, 1, "there is no room for the others");
    let mut found = std::collections::BTreeSet::new();
    eventually(async || {
        batch.pool(0).await;
        (batch.held(REQUESTS).await > hogs).then_some(())
    })
    .await;
    while found.len() < hogs as usize {
        let request: Request = read(&requests.next().await);
        assert!(found.insert(request.batch.unwrap().custom_id), "each comes once");
    }
}

#[tokio::test]
async fn a_line_that_passed_one_that_waits_and_has_ended_is_not_run_again_after_a_restart() {
    let mut batch = Batch::new().await;
    batch.line("waits", GOOD).await;
    batch.line_of_tenant("light", "1", GOOD).await;
    eventually(async || {
        batch.pool_of("acme", 5).await;
        (batch.held(REQUESTS).await > 0).then_some(())
    })
    .await;
    let passed: Request = read(&batch.reader(REQUESTS).await.next().await);
    batch.sink_knows(&completed(&passed, "Hello"));
    batch.restart().await;
    eventually(async || {
        batch.pool_of("acme", 5).await;
        batch
            .metric(r#"relay_ingress_batch_lines_total{result="repeated"} 1"#)
            .then_some(())
    })
    .await;
    assert_eq!(batch.held(REQUESTS).await, 1);
}

#[tokio::test]
async fn a_line_that_passed_one_that_waits_and_has_ended_is_not_run_again_however_long_the_sink_is_silent() {
    let mut batch = Batch::new().await;
    batch.line("waits", GOOD).await;
    batch.line_of_tenant("light", "1", GOOD).await;
    eventually(async || {
        batch.pool_of("acme", 5).await;
        (batch.held(REQUESTS).await > 0).then_some(())
    })
    .await;
    let passed: Request = read(&batch.reader(REQUESTS).await.next().await);
    batch.sink_knows(&completed(&passed, "Hello"));
    batch.silence_sink();
    batch.restart().await;
    eventually(async || {
        batch.pool(0).await;
        let told = batch.runtime.health.told();
        told.get("sink")?.contains("batch lines wait").then_some(())
    })
    .await;
    eventually(async || batch.runtime.health.is_ready().then_some(())).await;
    batch.serve_sink().await;
    eventually(async || {
        batch.pool(0).await;
        let repeated = batch.metric(r#"relay_ingress_batch_lines_total{result="repeated"} 1"#);
        (repeated && batch.held(REQUESTS).await == 2).then_some(())
    })
    .await;
    let mut requests = batch.reader(REQUESTS).await;
    for tenant in ["light", "acme"] {
        assert_eq!(read::<Request>(&requests.next().await).tenant.as_str(), tenant);
    }
    assert_eq!(batch.runtime.health.told()["sink"], "ok");
}

#[tokio::test]
async fn lines_beyond_those_that_may_be_put_off_come_in_once_there_is_room() {
    let batch = Batch::with(|config| {
        config.batch.put_off = 1;
        config.batch.max_in_flight = 1;
    })
    .await;
    for number in 0..4 {
        batch.line(&number.to_string(), GOOD).await;
    }
    eventually(async || {
        batch.pool(15).await;
        batch.waits_for_room().then_some(())
    })
    .await;
    eventually(async || {
        batch.pool(0).await;
        (batch.held(REQUESTS).await == 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_line_whose_turn_does_not_come_gets_a_result_that_says_so_while_it_can_still_be_read() {
    let batch = Batch::with(|config| config.batch.longest_wait = harness::ms(100)).await;
    batch.line("7", GOOD).await;
    let mut results = batch.reader(BATCH_RESULTS).await;
    eventually(async || {
        batch.pool_of("acme", 5).await;
        (batch.held(BATCH_RESULTS).await == 1).then_some(())
    })
    .await;
    let result: BatchResult = read(&results.next().await);
    assert_eq!((result.custom_id.as_str(), result.status_code), ("7", 504));
    assert!(result.body.contains("waited for room"), "{}", result.body);
    assert_eq!(batch.held(REQUESTS).await, 0);
}

#[tokio::test]
async fn a_closed_gate_does_not_hold_a_drain_up() {
    let mut batch = Batch::new().await;
    batch.line("9", GOOD).await;
    eventually(async || batch.waits_for_room().then_some(())).await;
    batch.runtime.shutdown.drain();
    let ended = tokio::time::timeout(harness::PATIENCE, &mut batch.running).await;
    ended.expect("the drain ends").unwrap().unwrap();
    assert_eq!(
        batch.held(REQUESTS).await,
        0,
        "it waits in the log for the next ingress"
    );
}

#[tokio::test]
async fn a_line_takes_its_trace_along_and_what_is_none_is_left_behind() {
    let batch = Batch::new().await;
    let mut requests = batch.reader(REQUESTS).await;
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (custom_id, sent, kept) in [
        ("1", "z".repeat(55), None),
        ("2", format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
        ("3", valid.to_owned(), Some(valid)),
    ] {
        let mut headers = Headers::default();
        headers.set(header::TRACEPARENT, sent);
        let line = encode(&line_of(custom_id, GOOD));
        let line = Outgoing::keyed(BATCH_REQUESTS, "acme/nightly", headers, line);
        batch.runtime.bus.publish(vec![line], Vec::new()).await.unwrap();
        eventually(async || {
            batch.pool(0).await;
            let expected: i64 = custom_id.parse().unwrap();
            (batch.held(REQUESTS).await == expected).then_some(())
        })
        .await;
        let request = requests.next().await;
        assert_eq!(request.headers.text(header::TRACEPARENT), kept);
    }
}
