//! From an HTTP request to an accepted one, or to a refusal.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError};
use relay_control::subjects;
use relay_schemas::{Class, Outcome, Request, RequestId, TenantId, TimestampMs};

use super::call::{self, Call};
use crate::accept::{self, Accepted};
use crate::canonical::{self, Chat};
use crate::gateway::Gateway;
use crate::limits::{Full, Permit};
use crate::refusal::Refusal;
use crate::slot::Slot;
use crate::waiter::Waiter;
use crate::{questions, wire};

/// Longest wait for the rest of a body that is refused.
const LINGER: Duration = Duration::from_secs(1);

/// A request that the client now waits for.
pub struct Admitted {
    /// Its id.
    pub id: RequestId,
    /// The model asked for.
    pub model: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Whether the answer leaves as events.
    pub stream: bool,
    /// Whether they end with the usage.
    pub include_usage: bool,
    /// Whether it has an idempotency key.
    pub keyed: bool,
    /// Where its answer comes from.
    pub source: Source,
}

/// Where an answer comes from.
pub enum Source {
    /// It runs, or will.
    Running {
        /// Waits for it.
        waiter: Waiter,
        /// Whether the log has it.
        accepted: Accepted,
    },
    /// It ended before, under the same idempotency key.
    Recorded(Box<Outcome>),
}

/// Checks the request, and has the log accept it.
pub async fn admit(
    gateway: &Arc<Gateway>,
    tenant: TenantId,
    headers: &HeaderMap,
    body: Body,
) -> Result<Admitted, Refusal> {
    let call = call::read(headers, &gateway.config)?;
    let permit = enter(gateway, &tenant)?;
    let chat = canonical::chat(&read(gateway, headers, body).await?, &gateway.config.defaults())?;
    reachable(gateway)?;
    let (request, traceparent) = request(gateway, tenant, call, chat);
    let keyed = request.idempotency_key.is_some();
    let running = keyed
        .then(|| gateway.routes.running_hash(&request.request_id))
        .flatten();
    if running.as_ref().is_some_and(|hash| *hash != request.request_hash) {
        return Err(Refusal::key_reused());
    }
    let recorded = match (keyed, &running) {
        (true, None) => recorded(gateway, &request).await?,
        _ => None,
    };
    let source = match recorded {
        Some(outcome) => Source::Recorded(Box::new(outcome)),
        None => {
            run(
                gateway,
                &request,
                permit,
                traceparent.as_deref(),
                running.is_some(),
            )
            .await?
        }
    };
    Ok(Admitted {
        id: request.request_id,
        model: request.model,
        created: request.accepted_at.0 / 1_000,
        stream: request.stream,
        include_usage: request.include_usage,
        keyed,
        source,
    })
}

fn enter(gateway: &Gateway, tenant: &TenantId) -> Result<Permit, Refusal> {
    gateway.limits.enter(tenant).map_err(|full| {
        let message = match full {
            Full::Tenant => "this tenant has too many requests in flight; wait for some to end",
            Full::All => "the gateway has too many requests in flight; ask again later",
        };
        Refusal::busy(message, gateway.config.retry_after_ms)
    })
}

async fn read(gateway: &Gateway, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let config = &gateway.config;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > config.max_body_bytes) {
        let _ = tokio::time::timeout(LINGER, discard(body, 8 * config.max_body_bytes)).await;
        return Err(Refusal::too_large(config.max_body_bytes));
    }
    let patience = Duration::from_millis(config.body_timeout_ms);
    let read = axum::body::to_bytes(body, config.max_body_bytes);
    match tokio::time::timeout(patience, read).await {
        Err(_) => Err(Refusal::slow_body(config.body_timeout_ms)),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error))
            if error
                .source()
                .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) =>
        {
            Err(Refusal::too_large(config.max_body_bytes))
        }
        Ok(Err(_)) => Err(Refusal::invalid(
            "incomplete_body",
            None,
            "the body ended before it was complete",
        )),
    }
}

/// Reads a refused body to its end, within bounds: who is still sending would else meet a closed connection, not the answer.
async fn discard(mut body: Body, most: usize) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// Refuses at once what could not be accepted or answered anyway.
fn reachable(gateway: &Gateway) -> Result<(), Refusal> {
    let wait = gateway.config.retry_after_ms;
    if gateway.runtime.shutdown.is_draining() {
        return Err(Refusal::unavailable("this gateway is shutting down", wait));
    }
    if !gateway.is_listening() {
        return Err(Refusal::unavailable(
            "answers cannot reach this gateway now",
            wait,
        ));
    }
    if !gateway.bus_answers() {
        return Err(Refusal::unavailable("the log cannot be reached now", wait));
    }
    Ok(())
}

fn request(gateway: &Gateway, tenant: TenantId, call: Call, chat: Chat) -> (Request, Option<String>) {
    let request_id = match &call.key {
        Some(key) => wire::keyed_id(&tenant, key),
        None => wire::fresh_id(),
    };
    let now = TimestampMs::now();
    let identity = &gateway.identity;
    let request = Request {
        reply_to: Some(subjects::reply(&identity.instance, identity.epoch, &request_id)),
        request_id,
        tenant,
        class: Class::Interactive,
        model: chat.model,
        canonical: chat.canonical,
        request_hash: chat.request_hash,
        stream: chat.stream,
        include_usage: chat.include_usage,
        prompt_tokens: chat.prompt_tokens,
        requested_tokens: chat.requested_tokens,
        temperature: chat.temperature,
        accepted_at: now,
        deadline: now.plus_ms(call.deadline_ms),
        idempotency_key: call.key.map(|key| wire::sha256_hex(&[key.as_bytes()])),
        batch: None,
    };
    (request, call.traceparent)
}

/// What the sink recorded under the same key.
async fn recorded(gateway: &Gateway, request: &Request) -> Result<Option<Outcome>, Refusal> {
    let Some(outcome) = questions::winner(gateway, &request.request_id).await else {
        return Ok(None);
    };
    let other_body = |first: &Request| first.request_hash != request.request_hash;
    if outcome.request.as_ref().is_some_and(other_body) {
        return Err(Refusal::key_reused());
    }
    Ok(Some(outcome))
}

/// Waits for the request, and publishes it unless this ingress waits for it already. A request that another ingress
/// accepted under the same key is published again: the stages behind drop the duplicate, and the sink tells its end.
async fn run(
    gateway: &Arc<Gateway>,
    request: &Request,
    permit: Permit,
    traceparent: Option<&str>,
    runs_here: bool,
) -> Result<Source, Refusal> {
    let slot = Arc::new(Slot::new(
        request,
        gateway.config.patience(request.idempotency_key.is_some()),
        gateway.config.max_unread_bytes,
    ));
    // In place before the request is published: its first frame may come before the acknowledgement.
    let waiter = Waiter::new(gateway, slot, request, permit);
    if runs_here {
        return Ok(Source::Running {
            waiter,
            accepted: Accepted::Yes,
        });
    }
    match accept::publish(gateway, request, traceparent).await {
        Ok(accepted) => Ok(Source::Running { waiter, accepted }),
        Err(refusal) => {
            waiter.dismiss();
            Err(refusal)
        }
    }
}
