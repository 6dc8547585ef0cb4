//! Responses: bodies of JSON, errors, and the headers that every response carries.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use axum::middleware::Next;
use relay_runner::Shutdown;
use relay_schemas::RequestId;

use crate::ids::Ids;
use crate::refusal::Refusal;

/// The id of the request that this response answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `false`: a client that repeats by itself should not; `true`: it should, once it has waited.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// JSON, ready made.
pub fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// An error in `OpenAI`'s shape.
pub fn error(refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, refusal.body());
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body is not read, so the connection cannot carry another request: say so before it is tried.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if refusal.never_retry {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    } else if refusal.retry_after_ms.is_some() {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
    }
    response
}

/// The head of server-sent events.
pub fn events() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Some proxies collect a response before they pass it on, unless told not to.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Names the request in a response.
pub fn name(response: &mut Response<Body>, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// Gives an id to responses that have none yet.
pub async fn with_request_id(State(ids): State<Ids>, mut response: Response<Body>) -> Response<Body> {
    if !response.headers().contains_key(REQUEST_ID) {
        name(&mut response, &ids.fresh());
    }
    response
}

/// Of a lame duck, each response is the last of its HTTP/1 connection: whoever asks next is to ask another one, and no request meets
/// a connection that is just being closed.
pub async fn last_of_a_lame_duck(
    State(shutdown): State<Shutdown>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let is_http1 = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    if is_http1 && shutdown.is_lame_duck() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What there is, for somebody who opens the address that the banner prints, or its host.
pub async fn root() -> Response<Body> {
    let body = concat!(
        r#"{"name":"relay","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","api":"/v1","endpoints":["/v1/chat/completions","/v1/completions","/v1/embeddings","/v1/models"],"#,
        r#""alive":"/healthz","ready":"/readyz"}"#
    );
    json(StatusCode::OK, body.to_owned())
}

/// The response where there is no such address.
pub async fn unknown_route() -> Response<Body> {
    error(&Refusal::unknown_route())
}

/// The response where the address does not take the method.
pub async fn wrong_method() -> Response<Body> {
    error(&Refusal::wrong_method())
}
