//! `GET /admin/traces/{request_id}`: one request's whole story.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use relay_schemas::{HandOver, RuleTrace};
use relay_store::{Asked, LoggedOutcome, Traces};
use serde::Serialize;

use super::answer::{self, AnswerView};
use super::facts::{Fact, cache_facts, facts, plan_facts, queue_facts};
use super::failure::{AdminError, wants_json};
use super::indent::indented;
use super::pages;
use super::waterfall::{self, Bar};

#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    status: &'static str,
    code: Option<&'a str>,
    message: Option<&'a str>,
    bars: Vec<Bar>,
    facts: Vec<Fact>,
    plan: Vec<Fact>,
    rules: &'a [RuleTrace],
    adjustments: &'a [String],
    handovers: &'a [HandOver],
    cache: Vec<Fact>,
    queue: Vec<Fact>,
    asked: Option<String>,
    answer: Option<AnswerView<'a>>,
}

/// The trace, as a page or as JSON.
pub(super) async fn show(
    State(traces): State<Arc<dyn Traces>>,
    Path(request_id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let format = query
        .as_deref()
        .unwrap_or_default()
        .split('&')
        .find_map(|pair| pair.strip_prefix("format="));
    let json = wants_json(format, &headers);
    match traces.find(&request_id.as_str().into()).await {
        Ok(Some(logged)) if json => axum::Json(story(&logged)).into_response(),
        Ok(Some(logged)) => page(&logged),
        Ok(None) => AdminError::not_found(json, format!("There is no trace of {request_id} (any more)."))
            .into_response(),
        Err(error) => AdminError::of_store(json, &error).into_response(),
    }
}

fn story(logged: &LoggedOutcome) -> serde_json::Value {
    let asked = Asked::of(logged.outcome.request.as_deref());
    serde_json::json!({
        "partition": logged.partition,
        "offset": logged.offset,
        "user": asked.user,
        "metadata": asked.metadata,
        "traceparent": logged.traceparent,
        "outcome": logged.outcome,
    })
}

fn page(logged: &LoggedOutcome) -> Response {
    let outcome = &logged.outcome;
    let planning = outcome.planning.as_ref();
    let view = Page {
        title: outcome.request_id.as_str(),
        status: outcome.status.name(),
        code: outcome.code.as_deref(),
        message: outcome.message.as_deref(),
        bars: waterfall::bars(outcome),
        facts: facts(logged),
        plan: plan_facts(outcome),
        rules: planning.map_or(&[], |planning| &planning.rules),
        adjustments: planning.map_or(&[], |planning| &planning.adjustments),
        handovers: planning.map_or(&[], |planning| &planning.handovers),
        cache: cache_facts(outcome),
        queue: queue_facts(outcome),
        asked: outcome.request.as_ref().map(|request| indented(&request.body)),
        answer: outcome.answer.as_deref().map(answer::view),
    };
    pages::render("trace.html", &view).into_response()
}
