//! `POST /v1/chat/completions`: admit, wait, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use relay_lifecycle::{Broken, final_of, is_success};
use relay_schemas::{Outcome, TenantId};

use super::admit::{Admitted, Source, admit};
use super::exchange::Exchange;
use super::stream::Live;
use super::{call, response};
use crate::answer::{self, Chunks, Facts};
use crate::gateway::Gateway;
use crate::refusal::{self, Refusal};
use crate::slot::End;
use crate::waiter::{Happened, Waiter};
use crate::{refused, wire};

/// Tells that an answer was recorded before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Longer than any deadline.
const LONG: Duration = Duration::from_hours(24);

/// The handler.
pub async fn completions(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let mut exchange = Exchange::begin(&gateway, "/v1/chat/completions");
    let tenant = match call::tenant(&headers) {
        Ok(tenant) => tenant,
        // Who cannot be named leaves no record.
        Err(refusal) => return exchange.answer(response::error(&refusal), &wire::fresh_id()),
    };
    match admit(&gateway, tenant.clone(), &headers, body).await {
        Ok(admitted) => answer(exchange, admitted).await,
        Err(refusal) => refuse(&gateway, exchange, &tenant, &refusal),
    }
}

/// A refusal has an id of its own: under a key, the request's id belongs to the first that used it.
fn refuse(
    gateway: &Arc<Gateway>,
    mut exchange: Exchange,
    tenant: &TenantId,
    refusal: &Refusal,
) -> Response<Body> {
    let id = wire::fresh_id();
    if refusal.status < 500 {
        refused::record(gateway, &id, tenant, refusal);
    }
    exchange.answer(response::error(refusal), &id)
}

async fn answer(mut exchange: Exchange, admitted: Admitted) -> Response<Body> {
    let id = admitted.id.clone();
    let facts = Facts {
        request_id: id.as_str(),
        model: &admitted.model,
        created: admitted.created,
    };
    let chunks = admitted
        .stream
        .then(|| Chunks::new(facts, admitted.include_usage));
    match (admitted.source, chunks) {
        (Source::Recorded(outcome), chunks) => {
            let mut response = whole(
                &mut exchange,
                facts,
                chunks,
                admitted.keyed,
                recorded_end(*outcome),
            );
            response
                .headers_mut()
                .insert(REPLAYED, HeaderValue::from_static("true"));
            exchange.answer(response, &id)
        }
        (Source::Running { mut waiter, accepted }, None) => {
            let response = match last(&mut waiter).await {
                Some(end) => whole(&mut exchange, facts, None, admitted.keyed, end),
                None => response::error(&refusal::timed_out(accepted, admitted.keyed)),
            };
            exchange.answer(response, &id)
        }
        (Source::Running { mut waiter, accepted }, Some(chunks)) => {
            // No headers before the first token or the decision, unless that takes too long for proxies to bear.
            match waiter.next(exchange.keep_alive()).await {
                Happened::Ended(end) => {
                    let response = whole(&mut exchange, facts, Some(chunks), admitted.keyed, end);
                    exchange.answer(response, &id)
                }
                Happened::TimedOut => {
                    let refusal = refusal::timed_out(accepted, admitted.keyed);
                    exchange.answer(response::error(&refusal), &id)
                }
                happened @ (Happened::Text(_) | Happened::Idle) => {
                    let head = exchange.answer(response::events(), &id);
                    let live = Live {
                        exchange,
                        waiter,
                        accepted,
                        keyed: admitted.keyed,
                        chunks,
                    };
                    head.map(|_| live.into_body(happened))
                }
            }
        }
    }
}

/// Waits for the end of an answer that leaves in one piece.
async fn last(waiter: &mut Waiter) -> Option<End> {
    loop {
        match waiter.next(LONG).await {
            Happened::Ended(end) => return Some(end),
            Happened::TimedOut => return None,
            // Such an answer has no pieces, and nothing can be said while it is waited for.
            Happened::Text(_) | Happened::Idle => {}
        }
    }
}

/// An answer whose end is known before its headers leave.
fn whole(
    exchange: &mut Exchange,
    facts: Facts<'_>,
    chunks: Option<Chunks>,
    keyed: bool,
    end: End,
) -> Response<Body> {
    exchange.finish(&end);
    match (end, chunks) {
        (End::Finished { end, text }, None) if is_success(end.status) => {
            response::json(StatusCode::OK, answer::completion(facts, &end, &text))
        }
        (End::Finished { end, text }, Some(mut chunks)) if is_success(end.status) => {
            let mut events = if text.is_empty() {
                String::new()
            } else {
                chunks.text(&text)
            };
            events.push_str(&chunks.end(&end));
            response::events().map(|_| Body::from(events))
        }
        (end, _) => response::error(&refusal::of(&end, keyed)),
    }
}

fn recorded_end(outcome: Outcome) -> End {
    let end = final_of(&outcome);
    match outcome.answer {
        Some(answer) if answer.text_dropped => End::Broken(Broken::Unavailable),
        answer => End::Finished {
            end,
            text: answer.map(|answer| answer.text).unwrap_or_default(),
        },
    }
}
