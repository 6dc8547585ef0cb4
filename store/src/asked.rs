//! What a request says of itself, for its trace: whose it is, and whether what was said may be kept. Pure.

use std::collections::BTreeMap;

use relay_api::raw::Object;
use relay_api::sampling::Sampling;
use relay_schemas::{Outcome, Request};

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

impl Asked {
    /// What `request` says; nothing where its body is not known.
    pub fn of(request: Option<&Request>) -> Self {
        let said = request.and_then(|request| Sampling::read(&request.body).ok());
        let said = said.unwrap_or_default();
        Self {
            user: said.user,
            metadata: said.metadata.filter(|metadata| !metadata.is_empty()),
            keeps_content: said.store != Some(false),
        }
    }
}

/// Takes out of `outcome` what was said, and says so where there was an answer.
pub(crate) fn without_content(outcome: &mut Outcome) {
    if let Some(request) = &mut outcome.request {
        let left = Object::parse(&request.body).map(|mut body| {
            body.retain(|name, _| NO_CONTENT.contains(&name));
            body.to_json()
        });
        request.body = left.unwrap_or_default();
    }
    if let Some(planning) = &mut outcome.planning {
        planning.plan.decoding.stop.clear();
    }
    if let Some(answer) = &mut outcome.answer {
        answer.drop_content();
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn store_false_leaves_whose_it_was_and_nothing_that_was_said() {
        let mut outcome = samples::outcome();
        outcome.answer = Some(samples::answer("a secret"));
        let request = outcome.request.as_mut().expect("it is there");
        request.body = r#"{"model":"m","messages":[{"role":"user","content":"a secret"}],"stop":["a secret"],"temperature":0.50,
            "tools":[{"secret":1}],"secret":"secret","user":"u-7","metadata":{"team":"red"},"store":false}"#
            .to_owned();
        let asked = Asked::of(outcome.request.as_ref());
        assert_eq!((asked.user.as_deref(), asked.keeps_content), (Some("u-7"), false));
        without_content(&mut outcome);
        let left = serde_json::to_string(&outcome).expect("it is JSON");
        assert!(!left.contains("secret"), "{left}");
        assert_eq!(Asked::of(outcome.request.as_ref()), asked);
        assert!(outcome.answer.is_some_and(|answer| answer.content_dropped));
    }

    #[test]
    fn without_a_word_everything_is_kept() {
        for request in [None, Some(samples::request())] {
            assert!(Asked::of(request.as_ref()).keeps_content);
        }
    }
}
