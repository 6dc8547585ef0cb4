//! What a client gets: answers in one piece and in pieces, and what goes wrong on the way.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

mod harness;

use harness::{Harness, Mood, completed, eventually, failed, ms, worker};
use relay_bus::topics;
use relay_control::{Delivery, ask, subjects};
use relay_lifecycle::final_of;
use relay_runner::DrainStep;
use relay_schemas::{
    Candidate, Delta, FenceAnswer, FenceQuery, OutcomeStatus, PolicyStatus, PublicModel, ReplayAnswer,
    ReplayQuery, Request, Service, WorkerStatus,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const WHOLE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}]}"#;
const STREAM: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true}"#;
const USAGE: &str = r#"{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;

/// The body with what differs from run to run replaced.
fn stable(text: &str, request: &Request) -> String {
    let created = (request.accepted_at.0 / 1_000).to_string();
    text.replace(request.request_id.as_str(), "REQUEST")
        .replace(&format!("\"created\":{created}"), "\"created\":NOW")
}

#[tokio::test]
async fn an_answer_in_one_piece_is_a_completion_object() {
    let harness = Harness::new().await;
    let (response, request) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        harness.complete(&request, "Grüße, \"Welt\"\n").await;
        request
    });
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("x-request-id"), Some(request.request_id.as_str()));
    insta::assert_snapshot!(stable(&response.text(), &request));
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "Grüße, \"Welt\"\n"
    );
    assert_eq!(
        harness.metric("llm_gateway_requests_total{status=\"200\"}").await,
        Some(1.0)
    );
    assert_eq!(
        harness.metric("llm_gateway_tokens_generated_total").await,
        Some(4.0)
    );
    assert_eq!(harness.metric("llm_gateway_active_requests").await, Some(0.0));
}

#[tokio::test]
async fn a_stream_brings_role_pieces_finish_reason_and_done() {
    let harness = Harness::new().await;
    let mut open = harness.open(&[("x-tenant-id", "acme")], STREAM).await;
    let request = harness.accepted().await;
    assert_eq!((request.tenant.as_str(), request.stream), ("acme", true));
    harness.frame(&request, 0, "Hel").await;
    open.until("Hel").await;
    harness.frame(&request, 1, "lo").await;
    open.until("\"lo\"").await;
    harness.end(&request, 2, &completed(&request, "Hello")).await;
    let response = open.rest().await;
    assert_eq!(
        response.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(response.header("x-request-id"), Some(request.request_id.as_str()));
    insta::assert_snapshot!(stable(&response.text(), &request));
}

#[tokio::test]
async fn each_piece_of_a_frame_is_an_event_and_all_of_them_leave_together() {
    let harness = Harness::new().await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    let texts: Vec<String> = (0..5).map(|at| format!("piece {at}.")).collect();
    let pieces = texts.iter().map(Delta::text).collect();
    harness.show(&request, &worker(1), 0, pieces, None).await;
    open.until("\n\n\r\n").await;
    let told = open.so_far();
    let (_, body) = told.split_once("\r\n\r\n").unwrap();
    let (size, chunk) = body.split_once("\r\n").unwrap();
    let size = usize::from_str_radix(size, 16).unwrap();
    let events: Vec<&str> = chunk[..size].split("\n\n").collect();
    // The role comes first, nothing behind the last one.
    assert_eq!(events.len(), 1 + texts.len() + 1, "{told}");
    for (event, text) in events[1..].iter().zip(&texts) {
        assert!(event.contains(&format!("\"content\":\"{text}\"")), "{event}");
    }
    harness
        .end(&request, 1, &completed(&request, &texts.concat()))
        .await;
    assert!(open.rest().await.text().ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_stream_ends_with_the_usage_where_it_was_asked_for() {
    let harness = Harness::new().await;
    let (response, request) = tokio::join!(harness.chat(&[], USAGE), async {
        let request = harness.accepted().await;
        harness.complete(&request, "Hello").await;
        request
    });
    insta::assert_snapshot!(stable(&response.text(), &request));
}

#[tokio::test]
async fn a_failure_before_the_first_token_is_a_plain_status() {
    let harness = Harness::new().await;
    for (body, status, code, http) in [
        (WHOLE, OutcomeStatus::Failed, "model_not_found", 404),
        (STREAM, OutcomeStatus::Failed, "backend_unavailable", 503),
        (STREAM, OutcomeStatus::Expired, "deadline_exceeded", 504),
        (STREAM, OutcomeStatus::Rejected, "queue_full", 429),
    ] {
        let (response, ()) = tokio::join!(harness.chat(&[], body), async {
            let request = harness.accepted().await;
            let outcome = failed(&request, Service::Scheduler, status, code);
            harness.end(&request, 0, &outcome).await;
        });
        assert_eq!((response.status, response.code().as_str()), (http, code));
        let param = (code == "model_not_found").then_some("model");
        assert_eq!(response.json()["error"]["param"].as_str(), param, "{code}");
        let rejected = status == OutcomeStatus::Rejected;
        assert_eq!(response.header("retry-after"), rejected.then_some("1"), "{code}");
        assert_eq!(
            response.header("x-should-retry"),
            Some(if rejected { "true" } else { "false" }),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_failure_after_the_first_token_is_an_event_without_done() {
    let harness = Harness::new().await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    let outcome = failed(&request, Service::Workers, OutcomeStatus::Failed, "backend_error");
    harness.frame(&request, 0, "Hel").await;
    // The log may be faster than the frame.
    open.until("Hel").await;
    harness.end(&request, 1, &outcome).await;
    let response = open.rest().await;
    assert_eq!(response.status, 200);
    assert!(!response.text().contains("[DONE]"));
    insta::assert_snapshot!(stable(&response.text(), &request));
}

#[tokio::test]
async fn a_long_wait_brings_headers_and_comments_and_later_failures_come_in_the_stream() {
    let harness = Harness::with(|config| config.timeouts.keep_alive = ms(30)).await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    open.until(": keep-alive\n\n").await;
    let outcome = failed(&request, Service::Scheduler, OutcomeStatus::Failed, "worker_lost");
    harness.end(&request, 0, &outcome).await;
    let response = open.rest().await;
    assert_eq!(response.status, 200);
    assert!(
        response.text().contains("\"code\":\"worker_lost\""),
        "{}",
        response.text()
    );
    assert!(!response.text().contains("[DONE]"));
}

#[tokio::test]
async fn a_lost_frame_is_asked_for_again_from_the_worker() {
    let harness = Harness::new().await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    let run = worker(1);
    let missing = relay_schemas::Frame {
        request_id: request.request_id.clone(),
        run: run.clone(),
        seq: 1,
        deltas: relay_schemas::samples::deltas("l"),
        embeddings: Vec::new(),
        tokens: relay_schemas::TokenCount(2),
        end: None,
    };
    let subject = subjects::replay(&run.instance, run.epoch);
    let serve = relay_control::serve(
        harness.control.clone(),
        &subject,
        None,
        move |query: ReplayQuery| {
            assert_eq!(query.from_seq, 1);
            let frames = vec![missing.clone()];
            std::future::ready(ReplayAnswer { frames })
        },
    );
    tokio::select! {
        _ = serve => unreachable!("it serves until it is dropped"),
        () = async {
            harness.frame(&request, 0, "Hel").await;
            harness.frame(&request, 2, "o").await;
            open.until("\"content\":\"lo\"").await;
        } => {}
    }
}

#[tokio::test]
async fn an_end_that_the_log_does_not_tell_is_found_by_asking_the_sink() {
    let harness = Harness::with(|config| config.answers.silence = ms(30)).await;
    harness.serve_sink().await;
    let (response, ()) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        harness.record(completed(&request, "from the record"));
    });
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "from the record"
    );
}

/// What no frame can tell: that its run was the first to end.
#[tokio::test]
async fn the_first_outcome_in_the_log_is_told_whatever_the_frames_say() {
    let harness = Harness::new().await;
    let (response, ()) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        let lost = completed(&request, "of the run that lost");
        harness
            .frame_of(
                &request,
                &worker(1),
                0,
                "of the run that lost",
                Some(final_of(&lost)),
            )
            .await;
        let mut won = completed(&request, "of the run that won");
        won.run = worker(2);
        harness.append(&won).await;
        harness.append(&lost).await;
    });
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "of the run that won"
    );
}

/// An id that a client chose may have ended before this ingress read the log.
#[tokio::test]
async fn under_an_idempotency_key_only_the_sink_tells_the_winner() {
    let harness = Harness::new().await;
    harness.serve_sink().await;
    let (response, ()) = tokio::join!(harness.chat(&[("idempotency-key", "k")], WHOLE), async {
        let request = harness.accepted().await;
        harness.complete(&request, "the second time").await;
        harness.record(completed(&request, "the first time"));
    });
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "the first time"
    );
}

#[tokio::test]
async fn an_outcome_that_cannot_be_read_has_the_sink_asked() {
    let harness = Harness::with(|config| config.answers.silence = ms(3_600_000)).await;
    harness.serve_sink().await;
    let (response, ()) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        harness.record(completed(&request, "from the sink"));
        let mut headers = relay_bus::Headers::default();
        headers.set(
            relay_bus::header::REQUEST_ID,
            request.request_id.as_str().to_owned(),
        );
        harness
            .append_record(headers, bytes::Bytes::from_static(b"garbage"))
            .await;
        // What can be read comes second, as far as is known here.
        harness.append(&completed(&request, "from the second")).await;
    });
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "from the sink"
    );
}

#[tokio::test]
async fn another_winner_than_the_run_shown_is_an_error_event() {
    let harness = Harness::new().await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    harness.frame(&request, 0, "Hel").await;
    open.until("Hel").await;
    let mut won = completed(&request, "Other");
    won.run.attempt = 2;
    harness.append(&won).await;
    let response = open.rest().await;
    assert!(response.text().contains("answer_diverged"), "{}", response.text());
    assert!(!response.text().contains("[DONE]"));
}

#[tokio::test]
async fn the_scheduler_learns_whether_the_client_saw_a_token() {
    let harness = Harness::new().await;
    let identity = harness::identity();
    let subject = subjects::fence_of(&identity.instance, identity.epoch);
    let fence = async |request: &Request| -> FenceAnswer {
        let query = FenceQuery {
            request_id: request.request_id.clone(),
            attempt: 1,
        };
        eventually(async || {
            ask(&*harness.control, &subject, &query, harness::PATIENCE)
                .await
                .ok()
        })
        .await
    };
    let answer = |known, saw_token| FenceAnswer { known, saw_token };

    let mut open = harness.open(&[], STREAM).await;
    let seen = harness.accepted().await;
    harness.frame(&seen, 0, "Hel").await;
    open.until("Hel").await;
    assert_eq!(fence(&seen).await, answer(true, true));

    let (response, ()) = tokio::join!(harness.chat(&[], STREAM), async {
        let unseen = harness.accepted().await;
        assert_eq!(fence(&unseen).await, answer(true, false));
        harness.frame(&unseen, 0, "zombie").await;
        let mut won = completed(&unseen, "second");
        won.run = worker(2);
        harness.end(&unseen, 0, &won).await;
    });
    assert!(response.text().contains("second") && !response.text().contains("zombie"));

    drop(open);
    let mut nobody = seen;
    nobody.request_id = "nobody".into();
    assert_eq!(fence(&nobody).await, answer(false, false));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_until_the_end_is_seen_and_its_place_is_free_then() {
    let harness = Harness::with(|config| config.limits.max_in_flight_per_tenant = 1).await;
    for body in [STREAM, WHOLE] {
        // What was told of the one before until its end was seen is nobody's here.
        let mut cancels = harness.cancels().await;
        let mut open = harness.open(&[], body).await;
        let request = harness.accepted().await;
        if body == STREAM {
            harness.frame(&request, 0, "Hel").await;
            open.until("Hel").await;
        }
        drop(open);
        for _ in 0..3 {
            let Some(Delivery::Message(cancel)) = cancels.next().await else {
                panic!("a cancel was expected");
            };
            assert_eq!(cancel.request_id, request.request_id);
            assert_eq!(
                (cancel.tenant.as_str(), cancel.reason.as_str()),
                ("default", "client_gone")
            );
        }
        assert_eq!(
            harness.chat(&[], WHOLE).await.status,
            429,
            "its request has not ended"
        );
        let outcome = failed(&request, Service::Workers, OutcomeStatus::Cancelled, "cancelled");
        harness.end(&request, u32::from(body == STREAM), &outcome).await;
        eventually(async || {
            let free = harness.chat(&[("x-relay-deadline-ms", "1")], "{}").await.status == 400;
            free.then_some(())
        })
        .await;
    }
    assert_eq!(
        harness.metric("relay_ingress_clients_gone_total").await,
        Some(2.0)
    );
}

#[tokio::test]
async fn no_end_before_the_deadline_is_a_504_and_a_cancel() {
    let harness = Harness::with(|config| config.deadlines.grace = ms(10)).await;
    let mut cancels = harness.cancels().await;
    let response = harness.chat(&[("x-relay-deadline-ms", "20")], WHOLE).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (504, "deadline_exceeded")
    );
    assert_eq!(response.header("x-should-retry"), Some("false"));
    let Some(Delivery::Message(cancel)) = cancels.next().await else {
        panic!("a cancel was expected");
    };
    assert_eq!(cancel.reason, "deadline");
}

#[tokio::test]
async fn a_log_that_does_not_answer_is_listened_to_until_the_deadline() {
    let harness = Harness::with(|config| {
        config.timeouts.accept = ms(20);
        config.deadlines.grace = ms(10);
    })
    .await;
    harness.log(Mood::NeverAcknowledges);
    let (response, ()) = tokio::join!(harness.chat(&[], WHOLE), async {
        let request = harness.accepted().await;
        // It was accepted after all, long after the ingress gave the log up.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        harness.complete(&request, "late").await;
    });
    assert_eq!(response.status, 200);

    let mut cancels = harness.cancels().await;
    let response = harness.chat(&[("x-relay-deadline-ms", "60")], WHOLE).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "unknown_result")
    );
    assert_eq!(response.header("x-should-retry"), Some("false"));
    assert!(response.text().contains("Idempotency-Key"), "it says how to ask");
    assert!(matches!(cancels.next().await, Some(Delivery::Message(_))));

    harness.serve_sink().await;
    let keyed = [("x-relay-deadline-ms", "60"), ("idempotency-key", "k")];
    let response = harness.chat(&keyed, WHOLE).await;
    assert_eq!((response.status, response.header("x-should-retry")), (503, None));
}

#[tokio::test]
async fn a_log_that_surely_did_not_take_it_is_an_error_at_once() {
    let harness = Harness::new().await;
    let mut cancels = harness.cancels().await;
    harness.log(Mood::RefusesSize);
    assert_eq!(harness.chat(&[], WHOLE).await.status, 413);
    harness.log(Mood::Broken);
    assert_eq!(harness.chat(&[], WHOLE).await.code(), "internal_error");
    harness.log(Mood::Away);
    let response = harness.until_ready(503).await;
    assert_eq!(
        response.json()["missing"]["bus"],
        "the bus is unavailable: it is away"
    );
    let response = harness.chat(&[], WHOLE).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "service_unavailable")
    );
    assert_eq!(response.header("retry-after"), Some("1"));
    harness.log(Mood::Works);
    harness.until_ready(200).await;
    let heard = tokio::time::timeout(std::time::Duration::from_millis(50), cancels.next()).await;
    assert!(heard.is_err(), "nothing was accepted, so nothing is cancelled");
    assert!(harness.nothing_taken(topics::REQUESTS));
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_a_507_and_nothing_was_accepted() {
    let harness = Harness::new().await;
    for mood in [Mood::Short, Mood::Full] {
        harness.log(mood);
        let response = harness.chat(&[], WHOLE).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (507, "insufficient_storage")
        );
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert!(harness.nothing_taken(topics::REQUESTS));
    harness.log(Mood::Works);
    harness.until_ready(200).await;
}

/// Before, the internal name was listed, which is a 404 when asked for, and the public one was not.
#[tokio::test]
async fn models_are_the_names_that_the_policy_takes_and_a_live_worker_can_run() {
    let harness = Harness::new().await;
    let worker = WorkerStatus {
        worker: "worker-1".into(),
        epoch: 1_700_000_000_123,
        pool: "default".to_owned(),
        models: vec!["internal".to_owned(), "unnamed".to_owned()],
        capacity: Vec::new(),
        seq: 1,
        short_partitions: vec![],
        long_partitions: vec![],
        short_slots: 1,
        long_slots: 1,
        in_flight: vec![],
        returned: Vec::new(),
        draining: false,
        sent_at: relay_clock::Clock::system().now(),
    };
    let named = |name: &str, model: &str| PublicModel {
        name: name.to_owned(),
        candidates: vec![Candidate {
            pool: "default".to_owned(),
            model: model.to_owned(),
        }],
    };
    let policy = PolicyStatus {
        planner: "planner-1".into(),
        epoch: 1,
        policy_version: "p@1".to_owned(),
        models: vec![
            named("house/public", "internal"),
            named("plain", "internal"),
            named("not-running", "another"),
        ],
        sent_at: worker.sent_at,
    };
    let subject = subjects::worker_status("default");
    let response = eventually(async || {
        relay_control::send(&*harness.control, &subject, worker.clone())
            .await
            .unwrap();
        relay_control::send(&*harness.control, subjects::POLICY_STATUS, policy.clone())
            .await
            .unwrap();
        let response = harness.get("/v1/models").await;
        response.text().contains("public").then_some(response)
    })
    .await;
    insta::assert_snapshot!(response.text());
    for name in ["house/public", "plain"] {
        let one = harness.get(&format!("/v1/models/{name}")).await;
        assert_eq!(one.status, 200, "{name}: {}", one.text());
        assert!(response.text().contains(&one.text()), "{}", one.text());
    }
    for name in ["internal", "not-running", "nobody"] {
        let refused = harness.get(&format!("/v1/models/{name}")).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "model_not_found"),
            "{name}"
        );
        let error = &refused.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["param"], "model");
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
    }
}

/// The harness's worker runs `tiny-v2` for it. Before, the whole answer named that, and the stream what was asked for.
#[tokio::test]
async fn an_answer_says_the_public_name_whole_and_streamed() {
    let harness = Harness::new().await;
    for body in [WHOLE, STREAM] {
        let (response, ()) = tokio::join!(harness.chat(&[], body), async {
            let request = harness.accepted().await;
            harness.complete(&request, "hello").await;
        });
        let text = response.text();
        assert!(
            text.contains(r#""model":"tiny""#) && !text.contains("tiny-v2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_drain_lets_a_stream_finish_and_takes_nothing_new() {
    let mut harness = Harness::new().await;
    let mut open = harness.open(&[], STREAM).await;
    let request = harness.accepted().await;
    harness.frame(&request, 0, "Hel").await;
    open.until("Hel").await;
    harness.runtime.shutdown.drain();
    eventually(async || {
        tokio::net::TcpStream::connect(harness.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    harness.end(&request, 1, &completed(&request, "Hello")).await;
    assert!(open.rest().await.text().ends_with("data: [DONE]\n\n"));
    let ended = tokio::time::timeout(harness::PATIENCE, &mut harness.running).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn what_a_stop_cuts_is_told_by_an_error_event_or_body_and_cancelled_where_no_key_can_ask_again() {
    let mut harness = Harness::new().await;
    let _sink = harness.serve_sink().await;
    let mut cancels = harness.cancels().await;
    let mut open = harness.open(&[], STREAM).await;
    let streamed = harness.accepted().await;
    harness.frame(&streamed, 0, "Hel").await;
    open.until("Hel").await;
    let keyed = harness.chat(&[("idempotency-key", "k")], WHOLE);
    let stopped = async {
        harness.accepted().await;
        harness.runtime.shutdown.drain();
        harness.runtime.shutdown.stop();
    };
    let (keyed, ()) = tokio::join!(keyed, stopped);
    assert_eq!((keyed.status, keyed.code()), (503, "shutting_down".to_owned()));
    assert!(keyed.text().contains("with the same `Idempotency-Key`"));
    assert_eq!(keyed.header("retry-after"), Some("1"));
    let rest = open.rest().await.text();
    assert!(
        rest.contains("shutting_down") && !rest.contains("[DONE]"),
        "{rest}"
    );
    let Some(Delivery::Message(cancel)) = cancels.next().await else {
        panic!("somebody is told");
    };
    assert_eq!(
        (&cancel.request_id, cancel.reason.as_str()),
        (&streamed.request_id, "shutdown")
    );
    let ended = tokio::time::timeout(harness::PATIENCE, &mut harness.running).await;
    ended.unwrap().unwrap().unwrap();
    assert_eq!(harness.runtime.shutdown.count_cut(), 2);
}

#[tokio::test]
async fn a_lame_duck_is_not_ready_answers_what_comes_and_keeps_no_connection() {
    let harness = Harness::new().await;
    harness.runtime.shutdown.take(DrainStep::LameDuck);
    let ready = harness.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("\"draining\":true"), "{}", ready.text());
    let mut asking = tokio::net::TcpStream::connect(harness.address).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-length";
    let request = format!("{head}: {}\r\n\r\n{WHOLE}", WHOLE.len());
    asking.write_all(request.as_bytes()).await.unwrap();
    let request = harness.accepted().await;
    harness.complete(&request, "hello").await;
    let mut answer = String::new();
    let read = tokio::time::timeout(harness::PATIENCE, asking.read_to_string(&mut answer));
    read.await.expect("it is closed behind the answer").unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("hello"),
        "{answer}"
    );
}

/// Its tables are away, or lack what they knew. Without a key the log tells how a request ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_whose_answer_only_the_tables_know_is_told_so_and_not_kept_to_its_deadline() {
    let harness = Harness::with(|config| config.answers.untold = ms(300)).await;
    let sink = harness.serve_sink().await;
    let asking = harness.chat(&[("idempotency-key", "k")], WHOLE);
    let plain = harness.chat(&[], WHOLE);
    let (told, plain, ()) = tokio::join!(asking, plain, async {
        let requests = [harness.accepted().await, harness.accepted().await];
        sink.abort();
        tokio::time::sleep(ms(1_500)).await;
        let unkeyed = requests
            .iter()
            .find(|request| request.idempotency_key.is_none())
            .unwrap();
        harness.complete(unkeyed, "hello").await;
    });
    assert_eq!(told.status, 503, "{}", told.text());
    assert!(told.text().contains("unknown_result") && told.text().contains("same `Idempotency-Key`"));
    assert_eq!(told.header("retry-after"), Some("5"));
    assert_eq!(told.header("x-should-retry"), Some("true"));
    assert_eq!(plain.status, 200, "{}", plain.text());
}
