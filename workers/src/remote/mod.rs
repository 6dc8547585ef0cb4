//! Models behind an OpenAI-compatible endpoint.
//!
//! `sse`, `body` and `budget` are pure; this module holds the connection. Redirects are not followed: the configuration says
//! where the server connects, and nobody else does.

mod body;
mod budget;
mod sse;

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_schemas::{FinishReason, Work};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::body::{Answer, UpstreamError, Wrong};
use self::budget::{RetryBudget, backoff};
use self::sse::SseParser;
use crate::backend::{Backend, Code, Failure, Finished};
use crate::emitter::{Emitter, Room};
use crate::models::RemoteSpec;

/// Bytes of an error body that are read, to find the error's code.
const ERROR_BODY_BYTES: usize = 16 * 1_024;

/// An endpoint, with its connections.
pub struct RemoteModel {
    spec: RemoteSpec,
    url: Url,
    client: Client,
    slots: Semaphore,
    budget: Mutex<RetryBudget>,
}

/// A failed try.
struct Failed {
    failure: Failure,
    /// Whether the same request may succeed in a moment.
    passing: bool,
}

impl Failed {
    fn for_good(code: Code, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            passing: false,
        }
    }

    fn for_now(code: Code, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            passing: true,
        }
    }
}

impl RemoteModel {
    /// Prepares the connections; opens none.
    ///
    /// # Errors
    /// In words, if the configuration cannot work: the key's variable is not set, or holds what no header can.
    pub fn new(spec: RemoteSpec) -> Result<Self, String> {
        // reqwest wants a provider for the process; whoever came first has set the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = endpoint(spec.base_url.expose(), "chat/completions")?;
        let mut client = Client::builder()
            .default_headers(headers(&spec)?)
            .connect_timeout(spec.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(spec.max_concurrent)
            .tcp_nodelay(true);
        if url.scheme() == "http" {
            // No certificates to load where none will be looked at.
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| error.without_url().to_string())?;
        Ok(Self {
            slots: Semaphore::new(spec.max_concurrent),
            budget: Mutex::new(RetryBudget::default()),
            spec,
            url,
            client,
        })
    }

    /// One try.
    async fn attempt(&self, body: bytes::Bytes, out: &mut Emitter) -> Result<Finished, Failed> {
        let sent = self.client.post(self.url.clone()).body(body).send();
        let response = match timeout(self.spec.first_byte_timeout, sent).await {
            Err(_) => return Err(timed_out("answered", self.spec.first_byte_timeout)),
            Ok(Err(error)) => return Err(unreachable(&error)),
            Ok(Ok(response)) => response,
        };
        if response.status() != StatusCode::OK {
            return Err(self.refused(response).await);
        }
        self.read(response, out).await
    }

    async fn read(&self, mut response: Response, out: &mut Emitter) -> Result<Finished, Failed> {
        let mut parser = SseParser::default();
        let mut answer = Answer::default();
        let mut bytes = 0;
        let mut patience = self.spec.first_byte_timeout;
        loop {
            let chunk = match timeout(patience, response.chunk()).await {
                Err(_) => return Err(timed_out("sent anything", patience)),
                Ok(Err(_)) => return Err(broken_off()),
                Ok(Ok(chunk)) => chunk,
            };
            patience = self.spec.idle_timeout;
            let over = chunk.is_none();
            match chunk {
                Some(chunk) => {
                    bytes += chunk.len();
                    let read = parser.push(&chunk, |data| answer.take(data));
                    if read.is_err() || bytes > self.spec.max_body_bytes {
                        return Err(Failed::for_good(
                            Code::BackendError,
                            "the endpoint's answer is too large",
                        ));
                    }
                }
                None => parser.finish(|data| answer.take(data)),
            }
            // Text that came before an error was produced, and is shown.
            if out
                .text(
                    &std::mem::take(&mut answer.text),
                    std::mem::take(&mut answer.pieces),
                )
                .await
                == Room::Full
            {
                return Ok(Finished::with(FinishReason::Length));
            }
            if let Some(wrong) = answer.error.take() {
                return Err(went_wrong(&wrong));
            }
            if answer.done || over {
                return finished(answer);
            }
        }
    }

    async fn refused(&self, response: Response) -> Failed {
        let status = response.status();
        let patience = self.spec.idle_timeout;
        let body = timeout(patience, beginning(response, ERROR_BODY_BYTES))
            .await
            .unwrap_or_default();
        refusal(status, &UpstreamError::parse(&body))
    }
}

#[async_trait]
impl Backend for RemoteModel {
    async fn run(&self, work: &Work, out: &mut Emitter) -> Result<Finished, Failure> {
        let decoding = &work.planning.plan.decoding;
        let body = body::request(&work.request.body, &self.spec.upstream_model, decoding)
            .map_err(|_| Failure::new(Code::InvalidRequest, "the request is no JSON object"))?;
        let body = bytes::Bytes::from(body);
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        self.budget.lock().earn();
        let began = std::time::Instant::now();
        let mut retry = 0;
        loop {
            let tried = self.attempt(body.clone(), out).await;
            match tried {
                Ok(finished) => {
                    // What an endpoint computed it does not say; the time it took is what is known.
                    out.computed_us(began.elapsed().as_micros() as u64);
                    if finished.usage.is_none() {
                        // An estimate: what ingress estimated of the prompt, and a token for each piece of text.
                        out.prompt_tokens(work.request.prompt_tokens.0);
                    }
                    return Ok(finished);
                }
                Err(failed) => {
                    let again = failed.passing && !out.has_begun() && retry < self.spec.retries;
                    if !again || !self.budget.lock().spend() {
                        out.computed_us(began.elapsed().as_micros() as u64);
                        out.prompt_tokens(work.request.prompt_tokens.0);
                        return Err(failed.failure);
                    }
                    tokio::time::sleep(backoff(retry, rand::random())).await;
                    retry += 1;
                }
            }
        }
    }

    fn version(&self) -> &str {
        &self.spec.upstream_model
    }
}

/// Where `path` is served under `base`; a query of `base` stays behind it.
fn endpoint(base: &str, path: &str) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| format!("base_url: {error}"))?;
    url.path_segments_mut()
        .map_err(|()| "base_url: is not an http or https address".to_owned())?
        .pop_if_empty()
        .extend(path.split('/'));
    Ok(url)
}

fn headers(spec: &RemoteSpec) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    if let Some(variable) = &spec.api_key_env {
        let key =
            std::env::var(variable).map_err(|_| format!("the environment variable {variable} is not set"))?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
            .map_err(|_| format!("the environment variable {variable} holds what no header can"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The first bytes of a body; what fails is left out.
async fn beginning(mut response: Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    body
}

fn timed_out(what: &str, waited: Duration) -> Failed {
    let message = format!("the endpoint has not {what} for {} ms", waited.as_millis());
    Failed::for_now(Code::BackendUnavailable, message)
}

/// An error of reqwest's names the URL, which may hold credentials: only its kind is passed on.
fn unreachable(error: &reqwest::Error) -> Failed {
    if error.is_connect() {
        Failed::for_now(Code::BackendUnavailable, "the endpoint cannot be reached")
    } else {
        broken_off()
    }
}

fn broken_off() -> Failed {
    Failed::for_now(Code::BackendError, "the connection to the endpoint broke off")
}

fn went_wrong(wrong: &Wrong) -> Failed {
    match wrong {
        Wrong::NoChunk => Failed::for_good(
            Code::BackendError,
            "the endpoint sent what is no chunk of an answer",
        ),
        Wrong::Said(error) if error.is_context_length() => too_long(),
        Wrong::Said(error) => Failed::for_now(
            Code::BackendError,
            format!("the endpoint failed while it answered{}", error.words()),
        ),
    }
}

fn too_long() -> Failed {
    Failed::for_good(
        Code::ContextLengthExceeded,
        "prompt and answer do not fit into the endpoint's model",
    )
}

/// What a status other than 200 means for the client, who knows nothing of this endpoint.
fn refusal(status: StatusCode, error: &UpstreamError) -> Failed {
    if error.is_context_length() {
        return too_long();
    }
    let message = format!(
        "the endpoint answered with status {}{}",
        status.as_u16(),
        error.words()
    );
    match status.as_u16() {
        408 | 429 | 503 | 529 => Failed::for_now(Code::BackendUnavailable, message),
        500..=599 => Failed::for_now(Code::BackendError, message),
        // The key, the path and the model's name are ours, not the client's.
        401..=405 => Failed::for_good(Code::BackendError, message),
        400..=499 => Failed::for_good(Code::InvalidRequest, message),
        _ => Failed::for_good(Code::BackendError, message),
    }
}

fn finished(answer: Answer) -> Result<Finished, Failed> {
    // An end without a reason is a connection that was cut where it happened to look like an end.
    let Some(finish_reason) = answer.finish_reason else {
        return Err(broken_off());
    };
    Ok(Finished {
        finish_reason: Some(FinishReason::named(&finish_reason).unwrap_or(FinishReason::Stop)),
        usage: answer.usage,
        usage_details: None,
        extra: None,
        model_version: answer.model,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_of_the_base_url_stays_behind_the_path() {
        let cases = [
            ("http://h/v1", "http://h/v1/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            ("http://h", "http://h/chat/completions"),
            (
                "https://h/deployments/x?api-version=2024-10-21&b=c%20d",
                "https://h/deployments/x/chat/completions?api-version=2024-10-21&b=c%20d",
            ),
            ("https://h/v1/?k=/", "https://h/v1/chat/completions?k=/"),
        ];
        for (base, expected) in cases {
            assert_eq!(
                endpoint(base, "chat/completions").map(String::from).as_deref(),
                Ok(expected)
            );
        }
    }

    #[test]
    fn statuses_become_codes_and_only_passing_ones_are_tried_again() {
        let cases = [
            (400, Code::InvalidRequest, false),
            (401, Code::BackendError, false),
            (404, Code::BackendError, false),
            (408, Code::BackendUnavailable, true),
            (413, Code::InvalidRequest, false),
            (422, Code::InvalidRequest, false),
            (429, Code::BackendUnavailable, true),
            (500, Code::BackendError, true),
            (503, Code::BackendUnavailable, true),
            (302, Code::BackendError, false),
            (204, Code::BackendError, false),
        ];
        for (status, code, passing) in cases {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let failed = refusal(status, &UpstreamError::default());
            assert_eq!((failed.failure.code, failed.passing), (code, passing), "{status}");
        }
        let long = UpstreamError::parse(br#"{"error":{"code":"context_length_exceeded"}}"#);
        assert_eq!(
            refusal(StatusCode::BAD_REQUEST, &long).failure.code,
            Code::ContextLengthExceeded
        );
    }
}
