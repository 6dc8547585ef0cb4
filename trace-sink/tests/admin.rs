//! The admin pages over a real store, asked as a browser and as a script would.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use common::{bare, complete};
use relay_schemas::{OutcomeStatus, samples};
use relay_store::{LoggedOutcome, Outcomes, PostgresOptions, PostgresStore, SqliteStore};
use relay_trace_sink::admin_router;
use tower::ServiceExt;

const NASTY: &str = "<script>alert('\"&')</script>";

struct Admin {
    router: Router,
    _folder: tempfile::TempDir,
}

impl Admin {
    async fn over(outcomes: Vec<relay_schemas::Outcome>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.sqlite"))
            .await
            .unwrap();
        let stored: Vec<LoggedOutcome> = outcomes
            .into_iter()
            .zip(0..)
            .map(|(outcome, offset)| LoggedOutcome {
                outcome: outcome.into(),
                partition: 2,
                offset,
                traceparent: None,
            })
            .collect();
        store.fold(&stored, &[]).await.unwrap();
        Self {
            router: admin_router(Arc::new(store)),
            _folder: folder,
        }
    }

    async fn get(&self, path: &str, accept: &str) -> (StatusCode, String) {
        let response = get(&self.router, path, accept).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path, "application/json").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

async fn get(router: &Router, path: &str, accept: &str) -> Response<Body> {
    let request = Request::get(path)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn nothing_that_a_client_says_becomes_markup() {
    let mut nasty = complete(NASTY, NASTY, NASTY, 1_700_000_000_000);
    nasty.code = Some(NASTY.to_owned());
    nasty.message = Some(NASTY.to_owned());
    let admin = Admin::over(vec![nasty]).await;
    let path = "/admin/traces/%3Cscript%3Ealert('%22%26')%3C%2Fscript%3E";
    for path in [
        "/admin/traces",
        "/admin/traces?tenant=%3Cscript%3Ealert('%22%26')%3C/script%3E",
        path,
    ] {
        let (status, page) = admin.get(path, "text/html").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(page.contains("&lt;script&gt;"), "{path} shows it");
        assert!(!page.contains("<script"), "{path} escapes it");
        assert!(!page.contains("alert('\"&'"), "{path} escapes quotes");
    }
    let (status, page) = admin.get("/admin/traces/%3Cscript%3E", "text/html").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(!page.contains("<script"));
}

#[tokio::test]
async fn an_answer_with_tool_calls_reasoning_two_choices_and_logprobs_is_in_the_trace_whole_and_readable() {
    let mut outcome = complete("r", "acme", "relay-chat", 1_700_000_000_640);
    outcome.answer = Some(samples::rich_answer().into());
    let admin = Admin::over(vec![outcome.clone()]).await;
    let trace = admin.json("/admin/traces/r").await;
    let answer: relay_schemas::Answer = serde_json::from_value(trace["outcome"]["answer"].clone()).unwrap();
    assert_eq!(Some(&answer), outcome.answer.as_deref());
    let (_, page) = admin.get("/admin/traces/r", "text/html").await;
    for shown in [
        "Two places, so two calls.",
        "calls weather (function call_1)",
        "Zürich",
        "It is &lt;b&gt;fine&lt;&#x2f;b&gt;.",
        "I cannot say.",
        "log-probabilities, 2 tokens",
        "9007199254740993",
        "1e400",
        "fp_1",
        "Vector 0: 3 values",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

#[tokio::test]
async fn every_answer_forbids_scripts_and_keeping() {
    let admin = Admin::over(vec![complete("r", "acme", "text", 1_700_000_000_000)]).await;
    for path in [
        "/admin",
        "/admin/traces",
        "/admin/traces/r",
        "/admin/traces/none",
        "/admin/style.css",
    ] {
        let response = get(&admin.router, path, "text/html").await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{path}: {policy}"
        );
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
    let moved = get(&admin.router, "/admin", "text/html").await;
    assert_eq!(moved.headers()[header::LOCATION], "/admin/traces");
}

#[tokio::test]
async fn a_trace_tells_the_whole_story_as_a_page() {
    let outcome = complete("r", "acme", "relay-chat", 1_700_000_000_640);
    let (status, page) = Admin::over(vec![outcome])
        .await
        .get("/admin/traces/r", "text/html")
        .await;
    assert_eq!(status, StatusCode::OK);
    let page = page.replace("&#x2f;", "/");
    for shown in [
        "completed",
        "2023-11-14 22:13:20.640",
        "relay.outcomes.v1, partition 2, offset 0",
        "default@2c26b46b68ffc68ff99b453c1d30413413422d70",
        "short chats",
        "at most 512",
        "unconditional",
        "max_tokens 4096",
        "miss",
        "worker-1 (epoch 1699000000000)",
        "first token",
        "21 / 87",
        "310 µUSD",
    ] {
        assert!(page.contains(shown), "{shown} is shown");
    }
}

#[tokio::test]
async fn a_trace_of_which_little_is_known_is_shown_too() {
    let outcome = bare(
        "r",
        OutcomeStatus::Failed,
        "the worker went away",
        1_700_000_000_000,
    );
    let (status, page) = Admin::over(vec![outcome])
        .await
        .get("/admin/traces/r", "text/html")
        .await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("the worker went away") && page.contains("worker_lost"));
    assert!(!page.contains("<h2>Plan</h2>") && !page.contains("Where the time went"));
}

#[tokio::test]
async fn a_trace_as_json_is_the_outcome_and_its_place() {
    let outcome = complete("r", "acme", NASTY, 1_700_000_000_000);
    let admin = Admin::over(vec![outcome.clone()]).await;
    for path in ["/admin/traces/r", "/admin/traces/r?format=json"] {
        let story = admin.json(path).await;
        assert_eq!(
            (story["partition"].as_i64(), story["offset"].as_i64()),
            (Some(2), Some(0))
        );
        let told: relay_schemas::Outcome = serde_json::from_value(story["outcome"].clone()).unwrap();
        assert_eq!(told, outcome);
    }
}

#[tokio::test]
async fn the_list_as_json_pages_through_everything_once() {
    let ended = |number: i64| {
        bare(
            &format!("r{number}"),
            OutcomeStatus::Expired,
            "late",
            1_000 + number / 3,
        )
    };
    let admin = Admin::over((0..10).map(ended).collect()).await;
    let mut path = "/admin/traces?limit=4".to_owned();
    let mut seen = Vec::new();
    loop {
        let list = admin.json(&path).await;
        let traces = list["traces"].as_array().unwrap();
        seen.extend(
            traces
                .iter()
                .map(|trace| trace["request_id"].as_str().unwrap().to_owned()),
        );
        let next = &list["next"];
        if next.is_null() {
            break;
        }
        path = format!(
            "/admin/traces?limit=4&before={}&before_id={}",
            next["before"],
            next["before_id"].as_str().unwrap()
        );
    }
    let expected: Vec<String> = (0..10).rev().map(|number| format!("r{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_list_is_filtered_and_says_where_it_goes_on() {
    let mut outcomes: Vec<_> = (0..5)
        .map(|n| bare(&format!("r{n}"), OutcomeStatus::Failed, "lost", 1_000 + n))
        .collect();
    outcomes.push(complete("full", "globex & co", "relay-chat", 2_000));
    let admin = Admin::over(outcomes).await;
    let (_, page) = admin
        .get(
            "/admin/traces?tenant=globex%20%26%20co&status=completed",
            "text/html",
        )
        .await;
    assert!(page.contains("/admin/traces/full") && !page.contains("/admin/traces/r0"));
    let (_, page) = admin
        .get("/admin/traces?status=failed&limit=2", "text/html")
        .await;
    assert!(
        page.contains("status=failed&amp;limit=2&amp;before=1003&amp;before_id=r3"),
        "{page}"
    );
    assert!(page.contains("6 kept"));
    let (_, page) = admin.get("/admin/traces?tenant=nobody", "text/html").await;
    assert!(page.contains("No request has ended yet that fits."));
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let admin = Admin::over(Vec::new()).await;
    for query in [
        "status=nice",
        "limit=0",
        "limit=many",
        "before=soon",
        "limit=1&limit=2",
    ] {
        let (status, body) = admin
            .get(&format!("/admin/traces?{query}&format=json"), "text/html")
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {body}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_and_not_hidden() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody@{}/nothing", listener.local_addr().unwrap());
    drop(listener);
    let options = PostgresOptions {
        acquire_timeout: std::time::Duration::from_millis(50),
        ..PostgresOptions::new(url)
    };
    let router = admin_router(Arc::new(PostgresStore::connect(options).unwrap()));
    for path in ["/admin/traces", "/admin/traces/r"] {
        let response = get(&router, path, "application/json").await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
