//! What `Traces` must do.

use std::collections::HashSet;
use std::sync::Arc;

use relay_schemas::{OutcomeStatus, TimestampMs, TokenCount};
use relay_store::{LoggedOutcome, Tables, TraceFilter, Verdict};

use super::{find, fold};
use crate::places::Place;
use crate::samples::{at, bare, complete, small};

use Verdict::{Redelivered, Won};

async fn comes_back(place: Place, logged: LoggedOutcome) {
    let tables = place.open().await;
    assert_eq!(fold(&tables, std::slice::from_ref(&logged)).await, [Won]);
    assert_eq!(
        find(&tables, logged.outcome.request_id.as_str()).await,
        Some(logged)
    );
}

pub(crate) async fn an_outcome_comes_back_as_it_was(place: Place) {
    comes_back(place, at(5, 1 << 40, complete("r", "the answer"))).await;
}

pub(crate) async fn an_answer_with_tool_calls_reasoning_choices_and_logprobs_comes_back_whole(place: Place) {
    let mut outcome = complete("r", "");
    outcome.answer = Some(relay_schemas::samples::rich_answer().into());
    comes_back(place, at(5, 7, outcome)).await;
}

pub(crate) async fn an_outcome_of_which_little_is_known_comes_back_as_it_was(place: Place) {
    comes_back(place, at(0, 0, bare("r", "acme", OutcomeStatus::Failed, 7))).await;
}

pub(crate) async fn text_that_databases_dislike_is_kept(place: Place) {
    let tables = place.open().await;
    let mut outcome = complete("r", "nul \0, quote ' \" \\, U+FFFF \u{FFFF}, 😀");
    outcome.message = Some("a \0 in a reason".to_owned());
    let logged = at(0, 0, outcome);
    assert_eq!(fold(&tables, std::slice::from_ref(&logged)).await, [Won]);
    let back = find(&tables, "r").await.unwrap().outcome;
    assert_eq!(back.answer, logged.outcome.answer);
    assert_eq!(back.message.as_deref(), Some("a \u{FFFD} in a reason"));
}

pub(crate) async fn numbers_out_of_range_are_stored_as_they_are(place: Place) {
    let mut outcome = complete("r", "");
    outcome.timings.latency_ms = i64::MIN;
    outcome.cost_micro_usd.0 = i64::MAX;
    outcome.usage.prompt_tokens = TokenCount(u32::MAX);
    comes_back(place, at(i32::MAX, i64::MAX, outcome)).await;
}

pub(crate) async fn what_is_too_old_goes_and_what_is_not_stays(place: Place) {
    let tables = place.open().await;
    let ended = |id: u32, at_ms: i64| {
        at(
            0,
            i64::from(id),
            bare(&id.to_string(), "acme", OutcomeStatus::Failed, at_ms),
        )
    };
    let batch: Vec<LoggedOutcome> = (0..2_500)
        .map(|id| ended(id, 99))
        .chain([ended(9_000, 100), ended(9_001, 101)])
        .collect();
    fold(&tables, &batch).await;
    assert_eq!(
        tables.traces.delete_before(TimestampMs(100)).await.unwrap(),
        2_500
    );
    tables.outcomes.forget_before(TimestampMs(101)).await.unwrap();
    assert_eq!(tables.traces.count().await.unwrap(), 2);
    assert_eq!(
        fold(&tables, &[ended(1, 99), ended(9_001, 101)]).await,
        [Won, Redelivered]
    );
    assert_eq!(tables.traces.delete_before(TimestampMs(0)).await.unwrap(), 0);
}

pub(crate) async fn the_list_is_filtered_and_paged_without_gaps(place: Place) {
    let tables = place.open().await;
    let mut batch = Vec::new();
    for number in 0..30_i64 {
        let tenant = if number % 3 == 0 { "acme" } else { "globex" };
        let status = if number % 2 == 0 {
            OutcomeStatus::Failed
        } else {
            OutcomeStatus::Expired
        };
        // Five end in each millisecond.
        batch.push(at(
            0,
            number,
            bare(&format!("r{number:02}"), tenant, status, 1_000 + number / 5),
        ));
    }
    batch.push(at(0, 99, complete("full", "answer")));
    fold(&tables, &batch).await;

    let filter = TraceFilter {
        tenant: Some("acme".into()),
        status: Some(OutcomeStatus::Failed),
        limit: 2,
        ..TraceFilter::default()
    };
    assert_eq!(pages(&tables, filter).await, ["r24", "r18", "r12", "r06", "r00"]);
    let all = pages(
        &tables,
        TraceFilter {
            limit: 4,
            ..TraceFilter::default()
        },
    )
    .await;
    let expected: Vec<String> = ["full".to_owned()]
        .into_iter()
        .chain((0..30).rev().map(|number| format!("r{number:02}")))
        .collect();
    assert_eq!(all, expected);
    let before = TraceFilter {
        before: Some(TimestampMs(1_001)),
        limit: 100,
        ..TraceFilter::default()
    };
    assert_eq!(pages(&tables, before).await, ["r04", "r03", "r02", "r01", "r00"]);
    let line = &tables
        .traces
        .list(&TraceFilter {
            limit: 1,
            ..TraceFilter::default()
        })
        .await
        .unwrap()[0];
    assert_eq!(
        (line.tenant.as_str(), line.status, line.model.as_str()),
        ("acme", OutcomeStatus::Completed, "tiny")
    );
    assert_eq!(line.executed_model.as_deref(), Some("tiny-v1"));
    assert_eq!(
        (
            line.latency_ms,
            line.ttft_ms,
            line.backend_latency_ms,
            line.queue_wait_ms
        ),
        (120, Some(40), Some(80), Some(20))
    );
    assert_eq!(
        (line.usage.prompt_tokens.0, line.cost_micro_usd.0, line.ended_at.0),
        (17, 1_234, 1_700_000_000_120)
    );
}

/// `user`, `metadata` and `traceparent` are kept and found; with `store: false` nothing that was said is.
pub(crate) async fn traces_are_found_by_whose_they_are(place: Place) {
    let tables = place.open().await;
    let trace = |digit: &str| format!("00-{}-0123456789abcdef-01", digit.repeat(32));
    let said = |id: &str, offset: i64, digit: &str, body: &str| {
        let mut outcome = complete(id, "a secret");
        outcome.ended_at = TimestampMs(1_000 + offset);
        let request = Arc::make_mut(outcome.request.as_mut().unwrap());
        body.clone_into(&mut request.body);
        LoggedOutcome {
            traceparent: Some(trace(digit)),
            ..at(0, offset, outcome)
        }
    };
    let batch = [
        said(
            "a",
            0,
            "a",
            r#"{"messages":["a secret"],"user":"u-1","metadata":{"team":"red","why":"te\"st,\"team"}}"#,
        ),
        said(
            "b",
            1,
            "b",
            r#"{"messages":["a secret"],"user":"u-1","metadata":{"a":"1","team":"Red"}}"#,
        ),
        said(
            "c",
            2,
            "a",
            r#"{"messages":["a secret"],"user":"u-2","metadata":{"team":"red"},"store":false}"#,
        ),
        said("d", 3, "d", r#"{"messages":["a secret"]}"#),
        // As embeddings may: of them not all is looked at.
        said(
            "e",
            4,
            "e",
            r#"{"user":"u\u0000","metadata":{"a\u0000":"\u0000"}}"#,
        ),
    ];
    fold(&tables, &batch).await;
    let found = async |user: Option<&str>, trace: Option<&str>, metadata: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let filter = TraceFilter {
            user: user.map(str::to_owned),
            trace: trace.map(|digit| digit.repeat(32)),
            metadata: metadata.iter().map(owned).collect(),
            limit: 9,
            ..TraceFilter::default()
        };
        pages(&tables, filter).await
    };
    assert_eq!(found(Some("u-1"), None, &[]).await, ["b", "a"]);
    assert_eq!(found(None, Some("a"), &[]).await, ["c", "a"]);
    assert_eq!(found(None, None, &[("team", "red")]).await, ["c", "a"]);
    assert_eq!(
        found(None, None, &[("team", "red"), ("why", "te\"st,\"team")]).await,
        ["a"]
    );
    assert_eq!(found(Some("u-1"), None, &[("team", "Red")]).await, ["b"]);
    assert_eq!(found(Some("u\0"), None, &[("a\0", "\0")]).await, ["e"]);
    for none in [
        ("team", "re"),
        ("eam", "red"),
        ("st,\"team", "red"),
        ("team", "%"),
    ] {
        assert_eq!(found(None, None, &[none]).await, [""; 0], "{none:?}");
    }
    let kept = tables.traces.find(&"c".into()).await.unwrap().unwrap();
    assert_eq!(kept.traceparent, Some(trace("a")));
    let text = serde_json::to_string(&kept.outcome).unwrap();
    assert!(!text.contains("secret") && text.contains("u-2"), "{text}");
    let kept = tables.traces.find(&"d".into()).await.unwrap().unwrap();
    assert!(serde_json::to_string(&kept.outcome).unwrap().contains("secret"));
}

async fn pages(tables: &Tables, mut filter: TraceFilter) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = tables.traces.list(&filter).await.unwrap();
        let Some(last) = page.last() else {
            let distinct: HashSet<&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "nothing twice");
            return ids;
        };
        filter.before = Some(last.ended_at);
        filter.before_id = Some(last.request_id.clone());
        assert!(page.len() <= filter.limit as usize);
        ids.extend(page.iter().map(|line| line.request_id.as_str().to_owned()));
    }
}

pub(crate) async fn the_list_is_never_longer_than_allowed(place: Place) {
    let tables = place.open().await;
    let most = i64::from(TraceFilter::MOST);
    let batch: Vec<LoggedOutcome> = (0..=most)
        .map(|offset| small(&offset.to_string(), 0, offset))
        .collect();
    fold(&tables, &batch).await;
    let filter = TraceFilter {
        limit: u32::MAX,
        ..TraceFilter::default()
    };
    assert_eq!(tables.traces.list(&filter).await.unwrap().len() as i64, most);
    assert_eq!(
        tables.traces.list(&TraceFilter::default()).await.unwrap().len(),
        0
    );
}
