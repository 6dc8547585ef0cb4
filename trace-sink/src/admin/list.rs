//! `GET /admin/traces`: the newest traces, filtered, a page at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use relay_schemas::{OutcomeStatus, TimestampMs};
use relay_store::{TraceFilter, TraceSummary, Traces};
use serde::Serialize;

use super::failure::{AdminError, wants_json};
use super::pages;
use super::time::{duration, instant};

const LINES: u32 = 50;
/// Most keys of `metadata` in one query: as many as a request may have.
const MOST_METADATA: usize = 16;
/// How long a trace's id is, and a `traceparent`.
const TRACE_ID: usize = 32;
const TRACEPARENT: usize = 55;

/// The query's parameters. Empty ones, as forms send them, count as absent.
#[derive(Debug, Default)]
struct ListQuery {
    format: Option<String>,
    tenant: Option<String>,
    status: Option<String>,
    user: Option<String>,
    trace: Option<String>,
    before: Option<String>,
    before_id: Option<String>,
    limit: Option<String>,
    /// What stands behind `metadata.`, and its value.
    metadata: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Page<'a> {
    title: &'static str,
    lines: Vec<Line<'a>>,
    statuses: [&'static str; OutcomeStatus::ALL.len()],
    tenant: &'a str,
    status: &'a str,
    user: &'a str,
    trace: &'a str,
    /// `metadata.KEY` with its value, for the next page.
    metadata: BTreeMap<String, &'a str>,
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
        user: asked.user.as_deref().unwrap_or_default(),
        trace: asked.trace.as_deref().unwrap_or_default(),
        metadata: asked
            .metadata
            .iter()
            .map(|(key, value)| (format!("metadata.{key}"), value.as_str()))
            .collect(),
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
    let Query(pairs) =
        Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|error| error.to_string())?;
    let mut asked = ListQuery::default();
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        let known = match name.as_str() {
            "format" => &mut asked.format,
            "tenant" => &mut asked.tenant,
            "status" => &mut asked.status,
            "user" => &mut asked.user,
            "trace" => &mut asked.trace,
            "before" => &mut asked.before,
            "before_id" => &mut asked.before_id,
            "limit" => &mut asked.limit,
            other => {
                let Some(key) = other.strip_prefix("metadata.") else {
                    return Err(format!(
                        "`{other}` is no parameter here; use tenant, status, user, trace, metadata.KEY, before, before_id, limit or format"
                    ));
                };
                if asked.metadata.len() == MOST_METADATA {
                    return Err(format!(
                        "at most {MOST_METADATA} keys of `metadata` can be asked for at once"
                    ));
                }
                asked.metadata.push((key.to_owned(), value));
                continue;
            }
        };
        if known.replace(value).is_some() {
            return Err(format!("`{name}` stands more than once"));
        }
    }
    Ok(asked)
}

/// The trace's id, where it or a whole `traceparent` is given.
fn trace_id(text: &str) -> Result<String, String> {
    let id = text
        .split('-')
        .nth(1)
        .filter(|_| text.len() == TRACEPARENT)
        .unwrap_or(text);
    if id.len() == TRACE_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(id.to_ascii_lowercase());
    }
    Err("`trace` is a trace's id, 32 hexadecimal digits, or a whole `traceparent`".to_owned())
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
        user: asked.user.clone(),
        trace: asked.trace.as_deref().map(trace_id).transpose()?,
        metadata: asked.metadata.clone(),
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
    fn traces_can_be_asked_for_by_user_metadata_and_trace() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let filter = filter_of(&format!(
            "user=u-7&metadata.team=red&metadata.a%20b=c%26d&trace={id}"
        ))
        .expect("all of it is valid");
        assert_eq!(filter.user.as_deref(), Some("u-7"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(filter.metadata, [pair("team", "red"), pair("a b", "c&d")]);
        assert_eq!(filter.trace.as_deref(), Some(id));
        let whole = filter_of(&format!("trace=00-{id}-b7ad6b7169203331-01")).expect("a traceparent");
        assert_eq!(whole.trace.as_deref(), Some(id));
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
            ("trace=7", "trace"),
            ("model=m", "model"),
        ] {
            let refused = filter_of(query).expect_err(query);
            assert!(refused.contains(&format!("`{named}`")), "{query}: {refused}");
        }
    }
}
