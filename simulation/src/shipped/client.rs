//! Clients: each asks an ingress once and notes what it was told.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use relay_schemas::RequestId;
use serde_json::Value;
use tower::ServiceExt as _;

use super::schedule::Call;
use super::services::Door;

/// Longest time after its deadline that a client waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An answer that ended as answers do.
    Answer {
        /// Its request.
        id: RequestId,
        /// What it says.
        text: String,
    },
    /// That there is no answer, and why.
    Error {
        /// Its request, or an id of its own where it was not accepted.
        id: RequestId,
        /// For machines.
        code: String,
    },
    /// The ingress died meanwhile.
    CutOff,
    /// It did not wait for the end.
    Left,
    /// Nothing, for longer than it may take; or what is neither answer nor error.
    Nothing(String),
}

/// Asks, and waits for what comes of it.
pub(crate) async fn ask(door: Option<&Door>, call: &Call) -> Told {
    let Some(Door { router, life }) = door else {
        return Told::CutOff;
    };
    let leaves = async {
        match call.leaves {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let talking = tokio::time::timeout(call.deadline + PATIENCE, talk(router.clone(), call));
    tokio::select! {
        biased;
        () = life.died() => Told::CutOff,
        told = talking => told.unwrap_or_else(|_| Told::Nothing("no end in time".to_owned())),
        () = leaves => Told::Left,
    }
}

async fn talk(router: Router, call: &Call) -> Told {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/v1/chat/completions")
        .header("content-type", "application/json")
        .header("x-tenant-id", format!("tenant-{}", call.tenant))
        .header("x-relay-deadline-ms", call.deadline.as_millis().to_string());
    if let Some(key) = call.key {
        request = request.header("idempotency-key", format!("key-{key}"));
    }
    let request = request
        .body(Body::from(call.body().to_string()))
        .expect("all of it is plain");
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let id = id_of(&response);
    match response.into_body().collect().await {
        Ok(body) => read(id, &String::from_utf8_lossy(&body.to_bytes()), call.stream),
        Err(error) => Told::Nothing(format!("the body broke off: {error}")),
    }
}

fn id_of(response: &Response<Body>) -> RequestId {
    let id = response.headers().get("x-request-id");
    RequestId::new(id.and_then(|id| id.to_str().ok()).unwrap_or_default())
}

fn read(id: RequestId, body: &str, stream: bool) -> Told {
    let error = |value: &Value| Some(value["error"]["code"].as_str()?.to_owned());
    if let Ok(whole) = serde_json::from_str::<Value>(body) {
        if let Some(code) = error(&whole) {
            return Told::Error { id, code };
        }
        return match whole["choices"][0]["message"]["content"].as_str() {
            Some(text) => Told::Answer {
                id,
                text: text.to_owned(),
            },
            None => Told::Nothing(format!("no answer: {body}")),
        };
    }
    if !stream {
        return Told::Nothing(format!("no JSON: {body}"));
    }
    let mut text = String::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if line == "[DONE]" {
            return Told::Answer { id, text };
        }
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(code) = error(&event) {
            return Told::Error { id, code };
        }
        text += event["choices"][0]["delta"]["content"]
            .as_str()
            .unwrap_or_default();
    }
    Told::Nothing(format!("the events ended without an end: {body}"))
}
