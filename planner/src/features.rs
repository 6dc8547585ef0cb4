//! What a policy may look at: the request's own fields, and the decoding wishes inside its body.

use relay_api::sampling::Sampling;
use relay_schemas::{Class, Operation, Request, TenantId, TimestampMs};

use crate::refusal::Refusal;

/// The features of one request. Equal features and equal policy give an equal plan.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "the fields of relay_schemas::Request, and OpenAI's own names"
)]
pub struct Features {
    pub tenant: TenantId,
    pub model: String,
    pub class: Class,
    pub stream: bool,
    pub prompt_tokens: u32,
    pub requested_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
    pub seed: Option<i64>,
    pub stop: Vec<String>,
    pub accepted_at: TimestampMs,
    pub deadline: TimestampMs,
}

impl Features {
    /// Extracts them.
    ///
    /// # Errors
    /// `invalid_request`, where the body holds what no planner can use; ingress refuses most of it before.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let wishes = match request.operation {
            // Nothing is decoded: members of these names are unknown ones, which ingress looks at as little.
            Operation::Embedding => Sampling::default(),
            Operation::Chat | Operation::Completion => {
                Sampling::read(&request.body).map_err(|invalid| Refusal::invalid(invalid.message))?
            }
        };
        Ok(Self {
            tenant: request.tenant.clone(),
            model: request.model.clone(),
            class: request.class,
            stream: request.stream,
            prompt_tokens: request.prompt_tokens.0,
            requested_tokens: request.requested_tokens.map(|tokens| tokens.0),
            temperature: finite("temperature", request.temperature)?,
            top_p: finite("top_p", wishes.top_p)?,
            top_k: wishes.top_k.and_then(|top_k| top_k.0),
            seed: wishes.seed.map(|seed| seed.0),
            stop: wishes.stop.map(|stop| stop.texts).unwrap_or_default(),
            accepted_at: request.accepted_at,
            deadline: request.deadline,
        })
    }
}

fn finite(key: &str, value: Option<f64>) -> Result<Option<f64>, Refusal> {
    match value {
        Some(value) if !value.is_finite() => Err(Refusal::invalid(format!("`{key}` is no finite number"))),
        // -0 and 0 mean the same and must hash the same.
        value => Ok(value.map(|value| value + 0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn decoding_wishes_are_read_from_the_body() {
        let request = testing::request_with(r#"{"seed":-7,"stop":["\n","END"],"top_k":40,"top_p":0.5}"#);
        let features = Features::of(&request).expect("a valid request");
        assert_eq!(features.seed, Some(-7));
        assert_eq!(features.stop, ["\n", "END"]);
        assert_eq!((features.top_k, features.top_p), (Some(40), Some(0.5)));
    }

    #[test]
    fn a_null_is_nothing_and_one_stop_is_a_list_of_one() {
        let request = testing::request_with(r#"{"seed":null,"stop":"x","top_p":null}"#);
        let features = Features::of(&request).expect("a valid request");
        assert_eq!(
            (features.seed, features.top_p, features.stop),
            (None, None, vec!["x".to_owned()])
        );
    }

    #[test]
    fn all_tokens_may_be_asked_for_as_minus_one_and_whole_numbers_may_be_floats() {
        let cases = [
            (r#"{"top_k":-1,"seed":42.0}"#, None, Some(42)),
            (
                r#"{"top_k":-1.0,"seed":-9223372036854775808}"#,
                None,
                Some(i64::MIN),
            ),
            (
                r#"{"top_k":40.0,"seed":9223372036854775807}"#,
                Some(40),
                Some(i64::MAX),
            ),
        ];
        for (body, top_k, seed) in cases {
            let features = Features::of(&testing::request_with(body)).expect("a valid request");
            assert_eq!((features.top_k, features.seed), (top_k, seed), "{body}");
        }
    }

    #[test]
    fn embeddings_have_no_decoding_wishes_whatever_their_members_are_called() {
        let embedding = |body: &str| Request {
            operation: Operation::Embedding,
            ..testing::request_with(body)
        };
        let plain = Features::of(&embedding(r#"{"input":"a"}"#)).expect("a valid request");
        let stop = format!(r#"{{"input":"a","stop":"{}"}}"#, "x".repeat(900 * 1024));
        for body in [&stop, r#"{"input":"a","temperature":"x","top_k":-1}"#] {
            let features = Features::of(&embedding(body)).expect("ingress accepts it");
            assert!(features == plain, "a wish was read");
        }
    }

    #[test]
    fn what_no_planner_can_use_is_refused_by_name() {
        for (body, key) in [
            ("nonsense", "JSON"),
            ("[]", "object"),
            (r#"{"seed":1.5}"#, "seed"),
            (r#"{"stop":[1]}"#, "stop"),
            (r#"{"stop":{}}"#, "stop"),
            (r#"{"top_k":-2}"#, "top_k"),
            (r#"{"seed":9223372036854775808}"#, "seed"),
            (r#"{"top_p":"x"}"#, "top_p"),
        ] {
            let refusal = Features::of(&testing::request_with(body)).expect_err(body);
            assert_eq!(refusal.code, "invalid_request");
            assert!(refusal.message.contains(key), "{}", refusal.message);
        }
        let mut request = testing::request_with("{}");
        request.temperature = Some(f64::NAN);
        assert!(Features::of(&request).is_err());
    }
}
