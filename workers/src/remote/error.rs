//! What an endpoint's errors say, and what that means for a client that knows nothing of this endpoint. Pure.

use std::error::Error as _;
use std::time::Duration;

use relay_api::raw::Object;
use relay_settings::TlsFault;
use serde_json::value::RawValue;

use super::choice::{number, present, string};
use crate::backend::{Code, Failure};

/// Characters of an endpoint's message that a client sees.
const MESSAGE_CHARS: usize = 500;

/// When a client may come back that an endpoint turned away without a word of when.
const COME_BACK: Duration = Duration::from_secs(2);

/// A try that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// What the client sees, if it stays so.
    pub failure: Failure,
    /// Whether the same request may succeed in a moment.
    pub passing: bool,
    /// Whether the endpoint ran nothing for want of capacity.
    pub turned_away: bool,
    /// Whether the endpoint itself said so.
    pub said: bool,
}

impl Failed {
    /// The same request would fail again.
    pub fn for_good(code: Code, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            passing: false,
            turned_away: false,
            said: false,
        }
    }

    /// The same request may succeed in a moment.
    pub fn for_now(code: Code, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            passing: true,
            turned_away: false,
            said: false,
        }
    }

    /// What the client sees where nothing is tried again. One that was turned away may come back, also where the endpoint did
    /// not say when.
    pub fn told(mut self) -> Failure {
        if self.turned_away {
            self.failure.retry_after.get_or_insert(COME_BACK);
        }
        self.failure
    }

    /// Nothing has come for `waited`. Of an answer that is asked for `whole` that is as long as one may take: to ask the same endpoint
    /// once more would take as long again.
    pub fn silent(what: &str, waited: Duration, whole: bool) -> Self {
        let message = format!("the endpoint has not {what} for {} ms", waited.as_millis());
        Self {
            passing: !whole,
            ..Self::for_now(Code::BackendUnavailable, message)
        }
    }

    /// The connection ended before the answer did.
    pub fn broken_off() -> Self {
        Self::for_now(Code::BackendError, "the connection to the endpoint broke off")
    }
}

/// An error of reqwest's names the URL, which may hold credentials: only its kind is passed on.
pub fn unreachable(error: &reqwest::Error) -> Failed {
    let fault = tls_fault(error);
    if error.is_connect() || fault.is_some() {
        let mut message = "the endpoint cannot be reached".to_owned();
        if let Some(fault) = fault {
            message = format!("{message}: {fault}");
        }
        let failure = Failure::before_it_began(Code::BackendUnavailable, message);
        Failed {
            failure,
            passing: true,
            turned_away: false,
            said: false,
        }
    } else {
        Failed::broken_off()
    }
}

/// What is wrong with the connection's TLS, wherever below `error` that stands.
fn tls_fault(error: &reqwest::Error) -> Option<TlsFault> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(fault) = TlsFault::of(&error.to_string()) {
            return Some(fault);
        }
        cause = error.source();
    }
    None
}

/// What must not leave this process: the key, the address, and what stands in it.
#[derive(Clone, Default)]
pub struct Hidden(Vec<String>);

impl Hidden {
    /// These texts; short ones are no secrets, and would black out words.
    pub fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = texts.into_iter().filter(|text| text.len() > 3).collect();
        // The longest first: one may be a part of another.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    fn blacken(&self, text: &str) -> String {
        let blacken = |text: String, secret: &String| text.replace(secret.as_str(), "[…]");
        self.0.iter().fold(text.to_owned(), blacken)
    }
}

/// What an endpoint's error says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct UpstreamError {
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
    message: Option<String>,
    /// The status that it names, where it came without one.
    status: Option<u16>,
}

impl UpstreamError {
    /// Out of the body of a refusal: `{"error": …}`, the error itself, or a list of one; empty where it is none of them.
    pub fn parse(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else {
            return Self::default();
        };
        let list: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        let text = list.first().map_or(text, |first| first.get());
        match Object::parse(text) {
            Ok(object) => present(&object, "error").map_or_else(|| Self::of(&object), Self::read),
            Err(_) => Self::default(),
        }
    }

    /// Out of what stands under `error`: an object, or a text.
    pub fn read(raw: &str) -> Self {
        match Object::parse(raw) {
            Ok(object) => Self::of(&object),
            Err(_) => Self {
                message: string(raw),
                ..Self::default()
            },
        }
    }

    /// Out of the error itself.
    pub fn of(object: &Object<'_>) -> Self {
        let text = |name: &str| present(object, name).and_then(string);
        let status = ["code", "status", "status_code"]
            .into_iter()
            .find_map(|name| number(present(object, name)?));
        Self {
            code: text("code").or_else(|| text("status")),
            kind: text("type"),
            param: text("param"),
            message: text("message").or_else(|| text("detail")),
            status: status
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| (400..600).contains(status)),
        }
    }

    /// What it means, with the status with which it came, if it came with one.
    pub fn meaning(&self, status: Option<u16>, hidden: &Hidden) -> Failed {
        let words = self.words(hidden);
        if self.is_context_length() {
            let reason = "prompt and answer do not fit into the endpoint's model";
            return Failed::for_good(
                Code::ContextLengthExceeded,
                self.with_message(reason.to_owned(), hidden),
            );
        }
        let named = status.or(self.status).or_else(|| self.status_by_name());
        let message = match status {
            Some(status) => format!("the endpoint answered with status {status}{words}"),
            None => format!("the endpoint failed while it answered{words}"),
        };
        match named {
            // No money and no quota come back in a moment.
            Some(402 | 429) if self.says(&["insufficient_quota", "billing", "payment"]) => {
                Failed::for_good(Code::BackendUnavailable, message)
            }
            Some(429) => Failed::for_now(Code::BackendBusy, message),
            Some(408 | 503 | 529) => Failed::for_now(Code::BackendUnavailable, message),
            // The key, the path, the model's name, the bill and the proxy are ours, not the client's.
            Some(401..=405 | 407) => Failed::for_good(Code::BackendError, message),
            Some(400..=499) => Failed::for_good(Code::InvalidRequest, self.with_message(message, hidden)),
            Some(500..=599) | None => Failed::for_now(Code::BackendError, message),
            Some(_) => Failed::for_good(Code::BackendError, message),
        }
    }

    /// `message`, and what the endpoint says: it is about the client's own request.
    fn with_message(&self, message: String, hidden: &Hidden) -> String {
        let Some(said) = &self.message else {
            return message;
        };
        let said = hidden.blacken(said);
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let mut shortened: String = said.chars().map(shown).take(MESSAGE_CHARS).collect();
        if said.chars().nth(MESSAGE_CHARS).is_some() {
            shortened.push('…');
        }
        format!("{message}: {shortened}")
    }

    /// The status that its words stand for.
    fn status_by_name(&self) -> Option<u16> {
        const NAMES: [(u16, &[&str]); 8] = [
            (
                429,
                &[
                    "rate_limit",
                    "too_many_requests",
                    "resource_exhausted",
                    "insufficient_quota",
                ],
            ),
            (401, &["authentication", "invalid_api_key", "unauthorized"]),
            (403, &["permission", "forbidden"]),
            (404, &["not_found"]),
            (408, &["timeout"]),
            (503, &["overloaded", "unavailable", "capacity"]),
            (500, &["server_error", "internal", "api_error"]),
            (
                400,
                &[
                    "invalid_request",
                    "bad_request",
                    "badrequest",
                    "invalid_argument",
                    "unsupported",
                    "content_policy",
                    "content_filter",
                ],
            ),
        ];
        let named = NAMES.iter().find(|(_, names)| self.says(names));
        named.map(|(status, _)| *status)
    }

    /// Whether its code or its type holds one of `names`.
    fn says(&self, names: &[&str]) -> bool {
        let texts = [&self.code, &self.kind];
        let mut texts = texts.into_iter().flatten().map(|text| text.to_ascii_lowercase());
        texts.any(|text| names.iter().any(|name| text.contains(name)))
    }

    fn is_context_length(&self) -> bool {
        let says = |text: &str| text.contains("context_length") || text.contains("maximum context");
        let message = self.message.as_deref();
        [&self.code, &self.kind]
            .into_iter()
            .flatten()
            .any(|text| says(text))
            || message.is_some_and(|message| says(message) || message.contains("context length"))
    }

    /// Its words for machines, as far as they look like such and hold nothing hidden.
    fn words(&self, hidden: &Hidden) -> String {
        let named = [("code", &self.code), ("type", &self.kind), ("param", &self.param)];
        let word = |text: &&String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
            !text.is_empty() && text.len() <= 64 && text.chars().all(plain) && hidden.blacken(text) == **text
        };
        let words = named
            .iter()
            .filter_map(|(name, text)| text.as_ref().filter(word).map(|text| format!(", {name} {text}")));
        words.collect()
    }
}

#[cfg(test)]
mod tests;
