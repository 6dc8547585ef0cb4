//! What an endpoint is asked: what the client sent, changed only where the plan says so. Pure.

use relay_api::completions::Completion;
use relay_api::embeddings::Embeddings;
use relay_api::raw::Object;
use relay_api::sampling::Sampling;
use relay_schemas::{Decoding, Operation, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::models::{ChatLimit, RemoteSpec};

/// Where `operation` is served, behind the base URL.
pub const fn path(operation: Operation) -> &'static str {
    match operation {
        Operation::Chat => "chat/completions",
        Operation::Completion => "completions",
        Operation::Embedding => "embeddings",
    }
}

/// The body for an endpoint. Text is asked for as a stream, with its usage. What says
/// the same as the plan stays as the client wrote it, as does everything that the plan does not speak of.
///
/// # Errors
/// If the body is no JSON object, or a number cannot be written.
pub fn body(request: &Request, spec: &RemoteSpec, decoding: &Decoding) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Object::parse(&request.body)?;
    body.put("model", &spec.upstream_model)?;
    if request.operation != Operation::Embedding {
        let limit = limit_name(&body, request.operation, spec.chat_limit);
        decode(&mut body, limit, decoding)?;
        if knows_the_best_at_the_end(request) {
            body.remove("stream_options");
        } else {
            stream(&mut body)?;
        }
    }
    Ok(body.to_json().into_bytes())
}

/// How many choices, or vectors, were asked for: those of a completion for each prompt.
pub fn choices(request: &Request) -> u32 {
    let body = &request.body;
    let inputs = match request.operation {
        Operation::Chat => None,
        Operation::Completion => Completion::read(body).ok().map(|asked| asked.task.prompt.len()),
        Operation::Embedding => Embeddings::read(body).ok().map(|asked| asked.input.len()),
    };
    let inputs = u32::try_from(inputs.unwrap_or(1)).unwrap_or(u32::MAX);
    if request.operation == Operation::Embedding {
        return inputs;
    }
    let n = Sampling::read(body).ok().and_then(|asked| asked.n);
    n.map_or(1, |n| n.0).saturating_mul(inputs)
}

/// Whether more is tried than is given: endpoints refuse to stream that.
fn knows_the_best_at_the_end(request: &Request) -> bool {
    request.operation == Operation::Completion
        && Completion::read(&request.body).is_ok_and(|asked| {
            let n = asked.sampling.n.map_or(1, |n| n.0);
            asked.task.best_of.is_some_and(|best_of| best_of.0 > n)
        })
}

/// The newer name where the client used it: models that know only one of the two know that one.
fn limit_name(body: &Object<'_>, operation: Operation, knows: ChatLimit) -> &'static str {
    let newer = body
        .get("max_completion_tokens")
        .is_some_and(|limit| limit != "null");
    if operation == Operation::Chat && (newer || knows == ChatLimit::MaxCompletionTokens) {
        "max_completion_tokens"
    } else {
        "max_tokens"
    }
}

fn decode(body: &mut Object<'_>, limit: &'static str, decoding: &Decoding) -> Result<(), serde_json::Error> {
    if limit == "max_completion_tokens" {
        body.remove("max_tokens");
    }
    set(body, limit, &u64::from(decoding.max_tokens.0))?;
    set(body, "temperature", &decoding.temperature)?;
    if let Some(top_p) = decoding.top_p {
        set(body, "top_p", &top_p)?;
    }
    if let Some(top_k) = decoding.top_k {
        set(body, "top_k", &top_k)?;
    }
    if let Some(seed) = decoding.seed {
        set(body, "seed", &seed)?;
    }
    let stop = body.get("stop").and_then(|stop| serde_json::from_str(stop).ok());
    let one_stop = stop.is_some_and(|stop: String| decoding.stop == [stop]);
    if !decoding.stop.is_empty() && !one_stop {
        set(body, "stop", &decoding.stop)?;
    }
    Ok(())
}

fn stream(body: &mut Object<'_>) -> Result<(), serde_json::Error> {
    body.put("stream", &true)?;
    let options = body.get("stream_options").unwrap_or("{}").to_owned();
    let mut options = Object::parse(&options).unwrap_or_default();
    options.put("include_usage", &true)?;
    body.put("stream_options", &options)
}

/// Sets a member, unless it says the same already.
fn set<T: Serialize + DeserializeOwned + PartialEq>(
    body: &mut Object<'_>,
    name: &'static str,
    value: &T,
) -> Result<(), serde_json::Error> {
    let said = body
        .get(name)
        .and_then(|said| serde_json::from_str::<T>(said).ok());
    if said.as_ref() == Some(value) {
        return Ok(());
    }
    body.put(name, value)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use relay_schemas::{TokenCount, samples};

    use super::*;
    use crate::models::{BackendSpec, Models};

    fn sent(operation: Operation, text: &str, decoding: &Decoding) -> String {
        let request = Request {
            operation,
            body: text.to_owned(),
            ..samples::request()
        };
        String::from_utf8(body(&request, &spec(""), decoding).unwrap()).unwrap()
    }

    fn spec(line: &str) -> RemoteSpec {
        let text = format!(
            "models: {{m: {{backend: openai, base_url: 'http://h/v1', upstream_model: theirs{line}}}}}"
        );
        let models = Models::parse(&text, Path::new("models.yaml")).unwrap();
        match models.models.into_values().next() {
            Some(BackendSpec::Remote(spec)) => spec,
            _ => panic!("it is remote"),
        }
    }

    fn decoding() -> Decoding {
        Decoding {
            max_tokens: TokenCount(7),
            temperature: 0.5,
            ..samples::decoding()
        }
    }

    #[test]
    fn the_plan_decides_and_everything_else_goes_as_it_came() {
        let text = r#"{"model":"ours", "messages":[{"content":"\u00e9","role":"user"}],"max_tokens":99,"temperature":2,
            "seed_of_theirs":9007199254740993,"huge":1e400,"thinking":{"budget":1.0,"b": [ 1 ]}}"#;
        assert_eq!(
            sent(Operation::Chat, text, &decoding()),
            concat!(
                r#"{"model":"theirs","messages":[{"content":"\u00e9","role":"user"}],"max_tokens":7,"temperature":0.5,"#,
                r#""seed_of_theirs":9007199254740993,"huge":1e400,"thinking":{"budget":1.0,"b": [ 1 ]},"#,
                r#""stream":true,"stream_options":{"include_usage":true}}"#
            )
        );
    }

    #[test]
    fn what_says_the_same_as_the_plan_stays_as_the_client_wrote_it() {
        let all = Decoding {
            top_p: Some(0.9),
            top_k: Some(5),
            seed: Some(-1),
            stop: vec!["x".to_owned()],
            ..decoding()
        };
        let same = r#"{"max_tokens":7,"temperature":5.0e-1,"top_p":0.90,"top_k":5,"seed":-1,"stop":"x","model":"m"}"#;
        assert_eq!(
            sent(Operation::Chat, same, &all),
            same.replace(
                "\"m\"}",
                "\"theirs\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"
            )
        );
        let other = sent(Operation::Chat, r#"{"stop":["a","b"],"top_p":1}"#, &all);
        assert!(
            other.starts_with(r#"{"stop":["x"],"top_p":0.9,"model":"theirs","#),
            "{other}"
        );
        assert!(other.contains(r#""top_k":5,"seed":-1"#), "{other}");
    }

    #[test]
    fn the_limit_has_the_name_that_the_client_used() {
        let chat = sent(
            Operation::Chat,
            r#"{"max_completion_tokens":99,"max_tokens":98}"#,
            &decoding(),
        );
        assert!(
            chat.starts_with(r#"{"max_completion_tokens":7,"model""#) && !chat.contains("max_tokens\""),
            "{chat}"
        );
        let neither = sent(Operation::Chat, "{}", &decoding());
        assert!(neither.contains(r#""max_tokens":7"#), "{neither}");
        let null = sent(Operation::Chat, r#"{"max_completion_tokens":null}"#, &decoding());
        assert!(null.contains(r#""max_tokens":7"#), "{null}");
        let only_newer = |text: &str| {
            let request = Request {
                body: text.to_owned(),
                ..samples::request()
            };
            let spec = spec(", chat_limit: max_completion_tokens");
            String::from_utf8(body(&request, &spec, &decoding()).unwrap()).unwrap()
        };
        for text in ["{}", r#"{"max_tokens":98}"#] {
            let newer = only_newer(text);
            assert!(
                newer.contains(r#""max_completion_tokens":7"#) && !newer.contains("\"max_tokens"),
                "{newer}"
            );
        }
        let completion = sent(
            Operation::Completion,
            r#"{"prompt":"p","max_tokens":99}"#,
            &decoding(),
        );
        assert!(
            completion.starts_with(r#"{"prompt":"p","max_tokens":7,"#),
            "{completion}"
        );
    }

    #[test]
    fn usage_is_asked_for_beside_what_the_client_asks_of_the_stream() {
        let text = r#"{"stream":false,"stream_options":{"theirs":1,"include_usage":false}}"#;
        let sent = sent(Operation::Chat, text, &decoding());
        assert!(
            sent.starts_with(r#"{"stream":true,"stream_options":{"theirs":1,"include_usage":true}"#),
            "{sent}"
        );
    }

    #[test]
    fn choices_are_counted_as_the_api_reads_them() {
        let cases = [
            (Operation::Chat, r#"{"n":2.0,"prompt":["a","b"]}"#, 2),
            (Operation::Chat, "{}", 1),
            (Operation::Completion, r#"{"prompt":["a","b"]}"#, 2),
            (Operation::Completion, r#"{"prompt":["a","b"],"n":3}"#, 6),
            (Operation::Completion, r#"{"prompt":[1,2,3]}"#, 1),
            (Operation::Embedding, r#"{"input":["a","b"],"n":5}"#, 2),
        ];
        for (operation, body, expected) in cases {
            let request = Request {
                operation,
                body: body.to_owned(),
                ..samples::request()
            };
            assert_eq!(choices(&request), expected, "{body}");
        }
    }

    #[test]
    fn the_best_of_several_is_not_asked_for_as_a_stream() {
        let text = r#"{"prompt":"p","best_of":3,"n":2,"stream":false,"stream_options":{}}"#;
        let best = sent(Operation::Completion, text, &decoding());
        assert!(
            best.contains(r#""stream":false"#) && !best.contains("stream_options"),
            "{best}"
        );
        let all = sent(
            Operation::Completion,
            r#"{"prompt":"p","best_of":2,"n":2}"#,
            &decoding(),
        );
        assert!(all.contains(r#""stream":true"#), "{all}");
    }

    #[test]
    fn embeddings_are_asked_for_under_the_endpoints_name_and_else_as_the_client_did() {
        assert_eq!(
            sent(
                Operation::Embedding,
                r#"{"input":["a"],"model":"ours","dimensions":3}"#,
                &decoding()
            ),
            r#"{"input":["a"],"model":"theirs","dimensions":3}"#
        );
    }

    #[test]
    fn what_is_no_object_cannot_be_sent() {
        let request = Request {
            body: "[]".to_owned(),
            ..samples::request()
        };
        assert!(body(&request, &spec(""), &decoding()).is_err());
    }
}
