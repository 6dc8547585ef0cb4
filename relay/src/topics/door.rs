//! The log of this process on the operators' listener, for commands that run beside it. The listener's guard stands before it.

use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Json, Path as InPath, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::stream;
use relay_bus::topics::{Manifest, Topic};
use tokio::sync::Semaphore;

use super::answer::Keeper;
use super::ask::{Ask, Letters, Read, Selection};
use super::letters::Who;
use super::wire::{LOG, USER};

/// Longest name by which somebody who asks may call themselves.
const LONGEST_NAME: usize = 128;

/// The log, and what bounds those who ask about it.
struct Door {
    keeper: Arc<Keeper>,
    /// Device and number of its folder.
    log: Option<String>,
    /// Places of those who are being answered.
    places: Arc<Semaphore>,
}

/// The routes; at most `most` answers at once. Where that is none, there are none.
pub fn router(keeper: Arc<Keeper>, log: &Path, most: usize) -> Router {
    if most == 0 {
        return Router::new();
    }
    let door = Door {
        keeper,
        log: log_id(log),
        places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
    };
    let door = Arc::new(door);
    Router::new()
        .route("/admin/topics", get(offsets))
        .route("/admin/topics/apply", post(apply))
        .route("/admin/topics/{topic}/records", get(records))
        .route("/admin/dead-letters", get(letters))
        .route("/admin/dead-letters/resend", post(resend))
        .route("/admin/dead-letters/discard", post(discard))
        .layer(middleware::from_fn_with_state(Arc::clone(&door), check_log))
        .with_state(door)
}

/// What tells a folder apart, whatever it is called and wherever it is mounted.
pub fn log_id(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(folder).ok()?;
    Some(format!("{}:{}", found.dev(), found.ino()))
}

/// Refuses whoever means another log.
async fn check_log(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let meant = headers.get(LOG).map(|meant| meant.to_str().unwrap_or_default());
    if let (Some(meant), Some(log)) = (meant, &door.log)
        && meant != log
    {
        let told = "this Relay has another log open than the one that is meant: name the operators' listener of the right one (--admin-port)\n";
        return (StatusCode::CONFLICT, told).into_response();
    }
    let who = Who {
        name: name(headers),
        via: "the operators' listener",
    };
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// Who asks, as far as they say it. Nothing shows that it is so.
fn name(headers: &HeaderMap) -> String {
    let said = headers
        .get(USER)
        .and_then(|name| name.to_str().ok())
        .unwrap_or_default();
    if said.is_empty() {
        return "somebody who gives no name".to_owned();
    }
    said.chars().take(LONGEST_NAME).collect()
}

async fn offsets(State(door): State<Arc<Door>>, Extension(who): Extension<Who>) -> Response {
    door.answer(Ask::Offsets, who)
}

async fn apply(
    State(door): State<Arc<Door>>,
    Extension(who): Extension<Who>,
    Json(manifest): Json<Manifest>,
) -> Response {
    // What a start checks (whether the topics hold the longest deadline, and the largest request) is checked for its own manifest.
    if let Some(topic) = differing(&manifest, &door.keeper.manifest) {
        let told = format!(
            "its configuration names another manifest ({topic} differs). Ask with the configuration that it runs with (--config), or, where \
             that file has changed since it started, start it anew, which checks and applies it\n"
        );
        return (StatusCode::CONFLICT, told).into_response();
    }
    door.answer(Ask::Apply(manifest), who)
}

/// A topic that is not the same in both.
fn differing(one: &Manifest, other: &Manifest) -> Option<String> {
    let (one, other) = (one.expanded(), other.expanded());
    let missing = |these: &[Topic], those: &[Topic]| {
        let missing = these.iter().find(|topic| !those.contains(topic));
        missing.map(|topic| topic.name.clone())
    };
    missing(&one, &other).or_else(|| missing(&other, &one))
}

async fn records(
    State(door): State<Arc<Door>>,
    Extension(who): Extension<Who>,
    InPath(topic): InPath<String>,
    Query(read): Query<Read>,
) -> Response {
    door.answer(Ask::Read(topic, read), who)
}

async fn letters(
    State(door): State<Arc<Door>>,
    Extension(who): Extension<Who>,
    Query(letters): Query<Letters>,
) -> Response {
    door.answer(Ask::Letters(letters), who)
}

async fn resend(
    State(door): State<Arc<Door>>,
    Extension(who): Extension<Who>,
    Json(selection): Json<Selection>,
) -> Response {
    door.answer(Ask::Resend(selection), who)
}

async fn discard(
    State(door): State<Arc<Door>>,
    Extension(who): Extension<Who>,
    Json(selection): Json<Selection>,
) -> Response {
    door.answer(Ask::Discard(selection), who)
}

impl Door {
    /// JSON lines as they come; the last one says that it is the last.
    fn answer(&self, ask: Ask, who: Who) -> Response {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let told = "as many read this log already as may at once (`ops.max_log_readers`): end one of them, or try again\n";
            return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
        };
        let answer = self.keeper.ask(ask, who);
        let lines = stream::unfold((answer, place), |(mut answer, place)| async move {
            let line = answer.recv().await?;
            Some((
                Ok::<_, std::convert::Infallible>(Bytes::from(line.text())),
                (answer, place),
            ))
        });
        let headers = [
            (CONTENT_TYPE, "application/x-ndjson"),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, Body::from_stream(lines)).into_response()
    }
}
