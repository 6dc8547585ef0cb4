//! What a request says of itself, for its trace: whose it is, and whether what was said may be kept. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay_api::raw::Object;
use relay_api::sampling::keeps_content;
use relay_schemas::{Outcome, Request};
use serde::Deserialize;

/// What stays of a body whose content is not to be kept: how tokens were chosen, and whose request it was.
const NO_CONTENT: [&str; 21] = [
    "model",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "seed",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "service_tier",
    "reasoning_effort",
    "verbosity",
    "parallel_tool_calls",
    "encoding_format",
    "dimensions",
];

/// Ends whose reasons are in words of this gateway, which quote nothing. Those of models and endpoints may quote what they were asked.
const OWN_WORDS: [&str; 9] = [
    "cancelled",
    "deadline_exceeded",
    "queue_full",
    "tenant_queue_full",
    "no_worker",
    "worker_lost",
    "dead_letter",
    "record_damaged",
    "no_plan",
];

/// Whether the reason of an end with this code is in words of this gateway, so that it quotes nothing of what was said.
pub fn is_in_own_words(code: Option<&str>) -> bool {
    code.is_some_and(|code| OWN_WORDS.contains(&code))
}

/// What stands for a reason that is not kept.
const LEFT_OUT: &str = "what was said of it is not kept, as the request asked with `store: false`";

/// What a request says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The client's own user.
    pub user: Option<String>,
    /// The client's own words for it.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether its content may be kept.
    pub keeps_content: bool,
}

/// The members of a body that say it; the others are passed over, whatever they are.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Members {
    user: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    store: Option<bool>,
}

impl Asked {
    /// What `request` says; nothing where its body is not known. Reads the body once.
    pub fn of(request: Option<&Request>) -> Self {
        let Some(Request { body, .. }) = request else {
            return Self {
                keeps_content: true,
                ..Self::default()
            };
        };
        let Some(said) = members(body) else {
            return Self {
                keeps_content: keeps_content(body),
                ..Self::default()
            };
        };
        Self {
            user: said.user,
            metadata: said.metadata.filter(|metadata| !metadata.is_empty()),
            keeps_content: said.store != Some(false),
        }
    }
}

/// `None` where one of them is not what it should be, or `body` is no JSON object: a structure would be read from a list too.
fn members(body: &str) -> Option<Members> {
    let is_object = body.trim_start().starts_with('{');
    is_object.then(|| serde_json::from_str(body).ok()).flatten()
}

/// Takes out of `outcome` what was said, and says so where there was an answer.
pub(crate) fn without_content(outcome: &mut Outcome) {
    if let Some(request) = outcome.request.as_mut().map(Arc::make_mut) {
        let left = Object::parse(&request.body).map(|mut body| {
            body.retain(|name, _| NO_CONTENT.contains(&name));
            body.to_json()
        });
        request.body = left.unwrap_or_default();
    }
    if let Some(planning) = outcome.planning.as_mut().map(Arc::make_mut) {
        planning.plan.decoding.stop.clear();
        for handover in &mut planning.handovers {
            LEFT_OUT.clone_into(&mut handover.message);
        }
    }
    if !is_in_own_words(outcome.code.as_deref()) {
        outcome.message = outcome.message.take().map(|_| LEFT_OUT.to_owned());
    }
    if let Some(answer) = outcome.answer.as_mut().map(Arc::make_mut) {
        answer.drop_content();
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::{HandOver, samples};

    use super::*;

    #[test]
    fn store_false_leaves_whose_it_was_and_nothing_that_was_said() {
        let mut outcome = samples::outcome();
        outcome.answer = Some(samples::answer("a secret").into());
        let request = Arc::make_mut(outcome.request.as_mut().expect("it is there"));
        request.body = r#"{"model":"m","messages":[{"role":"user","content":"a secret"}],"stop":["a secret"],"temperature":0.50,
            "tools":[{"secret":1}],"secret":"secret","user":"u-7","metadata":{"team":"red"},"store":false}"#
            .to_owned();
        let asked = Asked::of(outcome.request.as_deref());
        assert_eq!((asked.user.as_deref(), asked.keeps_content), (Some("u-7"), false));
        without_content(&mut outcome);
        let left = serde_json::to_string(&outcome).expect("it is JSON");
        assert!(!left.contains("secret"), "{left}");
        assert_eq!(Asked::of(outcome.request.as_deref()), asked);
        assert!(outcome.answer.is_some_and(|answer| answer.content_dropped));
    }

    /// What an endpoint says of a request may quote it.
    #[test]
    fn store_false_keeps_no_reason_but_those_in_words_of_our_own() {
        let asked = |code: Option<&str>| {
            let mut outcome = samples::outcome();
            let request = Arc::make_mut(outcome.request.as_mut().expect("it is there"));
            request.body =
                r#"{"messages":[{"role":"user","content":"a secret"}],"store":false,"n":"of a wrong type"}"#
                    .to_owned();
            outcome.code = code.map(str::to_owned);
            outcome.message =
                Some("the endpoint answered with status 400: `a secret` is not allowed".to_owned());
            let planning = Arc::make_mut(outcome.planning.as_mut().expect("it is there"));
            planning.handovers = vec![HandOver {
                from_pool: "remote".to_owned(),
                to_pool: "local".to_owned(),
                code: "backend_error".to_owned(),
                message: "the endpoint answered with status 500, code secret".to_owned(),
                attempts: 1,
                handed_over_at: planning.planned_at,
            }];
            assert!(!Asked::of(outcome.request.as_deref()).keeps_content);
            without_content(&mut outcome);
            outcome
        };
        for code in [
            Some("invalid_request"),
            Some("context_length_exceeded"),
            Some("backend_error"),
            Some("of_a_later_version"),
            None,
        ] {
            let left = serde_json::to_string(&asked(code)).expect("it is JSON");
            assert!(!left.contains("secret"), "{code:?}: {left}");
        }
        let left = asked(Some("cancelled")).message;
        assert!(left.is_some_and(|message| message.contains("status 400")));
    }

    #[test]
    fn a_member_that_is_not_what_it_should_be_does_not_have_the_content_kept() {
        let asked = |body: &str| {
            let mut request = samples::request();
            request.body = body.to_owned();
            Asked::of(Some(&request))
        };
        let told = asked(r#"{"n":"two","user":"u-7","store":false}"#);
        assert_eq!((told.user.as_deref(), told.keeps_content), (Some("u-7"), false));
        for body in [
            r#"{"user":7,"store":false}"#,
            r#"{"metadata":{"team":1},"store":false}"#,
        ] {
            let told = asked(body);
            assert_eq!((&told.user, told.keeps_content), (&None, false), "{body}");
        }
        for body in [
            r#"["u-7",null,false]"#,
            "",
            r#"{"store":null}"#,
            r#"{"store":"false"}"#,
        ] {
            assert_eq!(
                asked(body),
                Asked {
                    keeps_content: true,
                    ..Asked::default()
                },
                "{body}"
            );
        }
    }

    #[test]
    fn without_a_word_everything_is_kept() {
        for request in [None, Some(samples::request())] {
            assert!(Asked::of(request.as_ref()).keeps_content);
        }
    }
}
