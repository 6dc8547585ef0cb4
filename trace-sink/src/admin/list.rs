//! `GET /admin/traces`: the newest traces, filtered, a page at a time.

use std::sync::Arc;

use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use relay_schemas::{OutcomeStatus, TimestampMs};
use relay_store::{TraceFilter, TraceSummary, Traces};
use serde::{Deserialize, Serialize};

use super::failure::{AdminError, wants_json};
use super::pages;
use super::time::{duration, instant};

const LINES: u32 = 50;

/// The query's parameters. Empty ones, as forms send them, count as absent.
#[derive(Debug, Default, Deserialize)]
struct ListQuery {
    format: Option<String>,
    tenant: Option<String>,
    status: Option<String>,
    before: Option<String>,
    before_id: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
struct Page<'a> {
    title: &'static str,
    lines: Vec<Line<'a>>,
    statuses: [&'static str; OutcomeStatus::ALL.len()],
    tenant: &'a str,
    status: &'a str,
    limit: usize,
    kept: u64,
    paged: bool,
    next: Option<(i64, String)>,
}

/// One line of the page.
#[derive(Serialize)]
struct Line<'a> {
    request_id: &'a str,
    tenant: &'a str,
    status: &'static str,
    code: Option<&'a str>,
    model: &'a str,
    /// Where another one ran than was asked for.
    executed_model: Option<&'a str>,
    latency: String,
    ttft: String,
    queue_wait: String,
    prompt_tokens: u32,
    completion_tokens: u32,
    cost_micro_usd: i64,
    ended_at: String,
}

/// The list, as a page or as JSON.
pub(super) async fn show(
    State(traces): State<Arc<dyn Traces>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    match list(&*traces, query.as_deref().unwrap_or_default(), &headers).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn list(kept: &dyn Traces, query: &str, headers: &HeaderMap) -> Result<Response, AdminError> {
    let asked = parse(query).map_err(|reason| AdminError::bad_request(wants_json(None, headers), reason))?;
    let json = wants_json(asked.format.as_deref(), headers);
    let mut filter = filter(&asked).map_err(|reason| AdminError::bad_request(json, reason))?;
    let shown = filter.limit as usize;
    // One more tells whether there is another page.
    filter.limit += 1;
    let mut traces = kept
        .list(&filter)
        .await
        .map_err(|error| AdminError::of_store(json, &error))?;
    let more = traces.len() > shown;
    traces.truncate(shown);
    let next = traces
        .last()
        .filter(|_| more)
        .map(|last| (last.ended_at.0, last.request_id.as_str().to_owned()));
    if json {
        let next =
            next.map(|(before, before_id)| serde_json::json!({ "before": before, "before_id": before_id }));
        return Ok(axum::Json(serde_json::json!({ "traces": traces, "next": next })).into_response());
    }
    let kept = kept
        .count()
        .await
        .map_err(|error| AdminError::of_store(json, &error))?;
    let view = Page {
        title: "Traces",
        lines: traces.iter().map(line).collect(),
        statuses: OutcomeStatus::ALL.map(OutcomeStatus::name),
        tenant: asked.tenant.as_deref().unwrap_or_default(),
        status: asked.status.as_deref().unwrap_or_default(),
        limit: shown,
        kept,
        paged: filter.before.is_some(),
        next,
    };
    Ok(pages::render("list.html", &view).into_response())
}

fn parse(query: &str) -> Result<ListQuery, String> {
    let uri: Uri = format!("/?{query}")
        .parse()
        .map_err(|_| "the query cannot be read".to_owned())?;
    let Query(mut asked) = Query::<ListQuery>::try_from_uri(&uri).map_err(|error| error.to_string())?;
    let ListQuery {
        format,
        tenant,
        status,
        before,
        before_id,
        limit,
    } = &mut asked;
    for value in [format, tenant, status, before, before_id, limit] {
        if value.as_deref().is_some_and(str::is_empty) {
            *value = None;
        }
    }
    Ok(asked)
}

fn filter(asked: &ListQuery) -> Result<TraceFilter, String> {
    let status = asked.status.as_deref().map(|word| {
        let known = |status: &OutcomeStatus| status.name() == word;
        OutcomeStatus::ALL.into_iter().find(known).ok_or_else(|| {
            format!(
                "`status` is one of {}",
                OutcomeStatus::ALL.map(OutcomeStatus::name).join(", ")
            )
        })
    });
    let before = asked.before.as_deref().map(|text| {
        text.parse()
            .map(TimestampMs)
            .map_err(|_| "`before` counts milliseconds since 1970".to_owned())
    });
    let most = TraceFilter::MOST - 1;
    let limit = asked.limit.as_deref().map(|text| {
        let limit = text.parse().ok().filter(|limit| (1..=most).contains(limit));
        limit.ok_or_else(|| format!("`limit` is a number from 1 to {most}"))
    });
    Ok(TraceFilter {
        tenant: asked.tenant.as_deref().map(Into::into),
        status: status.transpose()?,
        before: before.transpose()?,
        before_id: asked.before_id.as_deref().map(Into::into),
        limit: limit.transpose()?.unwrap_or(LINES),
    })
}

fn line(trace: &TraceSummary) -> Line<'_> {
    Line {
        request_id: trace.request_id.as_str(),
        tenant: trace.tenant.as_str(),
        status: trace.status.name(),
        code: trace.code.as_deref(),
        model: &trace.model,
        executed_model: trace.executed_model.as_deref().filter(|ran| *ran != trace.model),
        latency: duration(Some(trace.latency_ms)),
        ttft: duration(trace.ttft_ms),
        queue_wait: duration(trace.queue_wait_ms),
        prompt_tokens: trace.usage.prompt_tokens.0,
        completion_tokens: trace.usage.completion_tokens.0,
        cost_micro_usd: trace.cost_micro_usd.0,
        ended_at: instant(trace.ended_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter_of(query: &str) -> Result<TraceFilter, String> {
        filter(&parse(query)?)
    }

    #[test]
    fn a_query_becomes_a_filter() {
        let filter = filter_of("tenant=a%26b&status=failed&before=12&before_id=r&limit=7")
            .expect("all of it is valid");
        assert_eq!(filter.tenant, Some("a&b".into()));
        assert_eq!(filter.status, Some(OutcomeStatus::Failed));
        assert_eq!(
            (filter.before, filter.before_id),
            (Some(TimestampMs(12)), Some("r".into()))
        );
        assert_eq!(filter.limit, 7);
    }

    #[test]
    fn an_empty_form_asks_for_everything() {
        let filter = filter_of("tenant=&status=&limit=&before=").expect("all of it is valid");
        assert_eq!(
            (filter.tenant, filter.status, filter.before, filter.limit),
            (None, None, None, LINES)
        );
    }

    #[test]
    fn a_parameter_that_makes_no_sense_is_named() {
        for (query, named) in [
            ("status=done", "status"),
            ("before=yesterday", "before"),
            ("limit=0", "limit"),
            ("limit=1000", "limit"),
            ("limit=-1", "limit"),
        ] {
            let refused = filter_of(query).expect_err(query);
            assert!(refused.contains(&format!("`{named}`")), "{query}: {refused}");
        }
    }
}
