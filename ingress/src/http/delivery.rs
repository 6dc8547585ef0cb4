//! From an admitted request to its response: in one piece, or as events.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use relay_api::response::Facts;
use relay_lifecycle::is_success;
use relay_lifecycle::transcript::deltas_of;

use super::exchange::Exchange;
use super::held::until_read;
use super::response;
use super::state::KeepAlive;
use super::stream::Live;
use crate::admission::admit::{Admitted, Source};
use crate::answers::end::{Account, End};
use crate::answers::failure;
use crate::answers::form::{Chunks, Form};
use crate::answers::waiter::{AnswerEvent, Waiter};
use crate::refusal::Refusal;

/// Tells that an answer was recorded before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Longer than any deadline.
const LONG: Duration = Duration::from_hours(24);

/// The response to `admitted`.
pub async fn deliver(exchange: Exchange, admitted: Admitted, keep_alive: KeepAlive) -> Response<Body> {
    let replayed = admitted.source.is_replayed();
    let mut response = respond(exchange, admitted, keep_alive).await;
    if replayed {
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

async fn respond(mut exchange: Exchange, admitted: Admitted, keep_alive: KeepAlive) -> Response<Body> {
    let id = admitted.id.clone();
    let facts = Facts {
        request_id: id.as_str(),
        model: &admitted.model,
        created: admitted.created,
    };
    let (form, keyed) = (admitted.form, admitted.keyed);
    let chunks = admitted
        .stream
        .then(|| form.chunks(facts, admitted.include_usage))
        .flatten();
    let whole = |exchange: &mut Exchange, chunks: Option<Chunks>, end: End, account: Option<Account>| {
        exchange.finish(&end, account);
        whole(form, facts, chunks, keyed, &end)
    };
    if let Source::Running { waiter, .. } = &admitted.source {
        exchange.waits_for(waiter.pending());
    }
    let failed = |exchange: &mut Exchange, refusal: &Refusal| {
        exchange.fails(refusal);
        response::error(refusal)
    };
    match (admitted.source, chunks) {
        (Source::Recorded { outcome, mut holding }, chunks) => {
            let end = End::recorded(&outcome);
            holding.end(end.bytes());
            let account = Some(Account::of(&outcome));
            let response = whole(&mut exchange, chunks, end, account);
            until_read(exchange.answer(response, &id), holding)
        }
        (
            Source::Running {
                mut waiter, accepted, ..
            },
            None,
        ) => {
            let response = match last(&mut waiter).await {
                Ok(end) => whole(&mut exchange, None, end, waiter.account()),
                Err(NoEnd::TimedOut) => failed(&mut exchange, &failure::timed_out(accepted, keyed)),
                Err(NoEnd::Cut) => {
                    exchange.is_charged(waiter.account());
                    failed(&mut exchange, &failure::cut(keyed))
                }
            };
            until_read(exchange.answer(response, &id), waiter)
        }
        (
            Source::Running {
                mut waiter, accepted, ..
            },
            Some(chunks),
        ) => {
            // No headers before the first token or the decision, unless that takes too long for proxies to bear.
            match waiter.next(keep_alive.0).await {
                AnswerEvent::Ended(end) => {
                    let response = whole(&mut exchange, Some(chunks), end, waiter.account());
                    until_read(exchange.answer(response, &id), waiter)
                }
                AnswerEvent::TimedOut => {
                    let response = failed(&mut exchange, &failure::timed_out(accepted, keyed));
                    exchange.answer(response, &id)
                }
                AnswerEvent::Cut => {
                    exchange.is_charged(waiter.account());
                    let response = failed(&mut exchange, &failure::cut(keyed));
                    exchange.answer(response, &id)
                }
                first @ (AnswerEvent::Deltas(_) | AnswerEvent::Idle) => {
                    let head = exchange.answer(response::events(), &id);
                    let live = Live {
                        exchange,
                        waiter,
                        accepted,
                        keyed,
                        keep_alive,
                        chunks,
                    };
                    head.map(|_| live.into_body(first))
                }
            }
        }
    }
}

/// Why an answer has no end.
enum NoEnd {
    TimedOut,
    Cut,
}

/// Waits for the end of an answer that leaves in one piece.
async fn last(waiter: &mut Waiter) -> Result<End, NoEnd> {
    loop {
        match waiter.next(LONG).await {
            AnswerEvent::Ended(end) => return Ok(end),
            AnswerEvent::TimedOut => return Err(NoEnd::TimedOut),
            AnswerEvent::Cut => return Err(NoEnd::Cut),
            // Such an answer has no pieces, and nothing can be said while it is waited for.
            AnswerEvent::Deltas(_) | AnswerEvent::Idle => {}
        }
    }
}

/// An answer whose end is known before its headers leave.
fn whole(form: Form, facts: Facts<'_>, chunks: Option<Chunks>, keyed: bool, end: &End) -> Response<Body> {
    match (end, chunks) {
        (End::Finished { end, content }, None) if is_success(end.status) => {
            response::json(StatusCode::OK, form.whole(facts, end, content))
        }
        (End::Finished { end, content }, Some(mut chunks)) if is_success(end.status) => {
            let mut events = String::new();
            chunks.deltas(&mut events, &deltas_of(content.choices()));
            chunks.end(&mut events, end);
            response::events().map(|_| Body::from(events))
        }
        (end, _) => response::error(&failure::of(end, keyed)),
    }
}
