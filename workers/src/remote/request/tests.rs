//! What goes to an endpoint, literally.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use relay_schemas::{TokenCount, samples};

use super::*;

/// Until the deadline, as most requests have.
const LEFT: Duration = Duration::from_mins(2);
use crate::models::{BackendSpec, Models};

/// The request of a client that streams.
fn request(operation: Operation, text: &str) -> Request {
    Request {
        operation,
        body: text.to_owned(),
        stream: true,
        ..samples::request()
    }
}

fn sent(operation: Operation, text: &str, decoding: &Decoding) -> String {
    asked(&request(operation, text), "", decoding).0
}

fn asked(request: &Request, line: &str, decoding: &Decoding) -> (String, Vec<&'static str>) {
    let question = question(request, &spec(line), decoding, LEFT).unwrap();
    (
        String::from_utf8(question.body.to_vec()).unwrap(),
        question.omitted,
    )
}

fn spec(line: &str) -> RemoteSpec {
    let text =
        format!("models: {{m: {{backend: openai, base_url: 'http://h/v1', upstream_model: theirs{line}}}}}");
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
    let same =
        r#"{"max_tokens":7,"temperature":5.0e-1,"top_p":0.90,"top_k":5,"seed":-1,"stop":"x","model":"m"}"#;
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
        let request = request(Operation::Chat, text);
        asked(&request, ", limit_field: max_completion_tokens", &decoding()).0
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
fn the_limit_has_the_name_that_the_models_file_says_and_no_other() {
    let of = |operation, text: &str, line: &str| {
        let limited = format!(", limit_field: {line}");
        asked(&request(operation, text), &limited, &decoding())
    };
    let both = r#"{"max_completion_tokens":99,"max_tokens":99}"#;
    for (operation, line, expected) in [
        (Operation::Chat, "max_tokens", r#""max_tokens":7"#),
        (
            Operation::Chat,
            "max_completion_tokens",
            r#""max_completion_tokens":7"#,
        ),
        (Operation::Chat, "max_output_tokens", r#""max_output_tokens":7"#),
        (Operation::Completion, "max_new_tokens", r#""max_new_tokens":7"#),
        (
            Operation::Completion,
            "max_completion_tokens",
            r#""max_tokens":7"#,
        ),
    ] {
        let (sent, omitted) = of(operation, both, line);
        assert!(
            sent.contains(expected) && sent.matches("_tokens").count() == 1,
            "{line}: {sent}"
        );
        assert!(omitted.is_empty(), "{omitted:?}");
    }
    let (sent, omitted) = of(Operation::Chat, both, "none");
    assert!(!sent.contains("_tokens"), "{sent}");
    assert_eq!(omitted, ["max_tokens"]);
}

#[test]
fn what_is_unset_is_not_sent_under_any_name() {
    let unset = Decoding {
        max_tokens_unset: true,
        temperature_unset: true,
        ..decoding()
    };
    for text in [
        "{}",
        r#"{"max_tokens":null,"max_completion_tokens":null,"temperature":null}"#,
    ] {
        for line in ["", ", limit_field: max_completion_tokens", ", limit_field: none"] {
            let (sent, omitted) = asked(&request(Operation::Chat, text), line, &unset);
            assert_eq!(
                sent,
                r#"{"model":"theirs","stream":true,"stream_options":{"include_usage":true}}"#
            );
            assert!(omitted.is_empty(), "{omitted:?}");
        }
    }
}

#[test]
fn an_endpoint_that_is_never_sent_store_is_told_all_the_same_where_it_is_false() {
    for (operation, said, kept) in [
        (Operation::Chat, r#""store":false"#, true),
        (Operation::Embedding, r#""store" : false"#, true),
        (Operation::Chat, r#""store":true"#, false),
        (Operation::Chat, r#""store":null"#, false),
    ] {
        let request = request(operation, &format!("{{{said},\"user\":\"u\"}}"));
        let (sent, omitted) = asked(&request, ", omit: [store, user]", &decoding());
        assert_eq!(sent.contains(r#""store":false"#), kept, "{sent}");
        assert_eq!(sent.contains("store"), kept, "{sent}");
        assert_eq!(omitted.contains(&"store"), said.ends_with("true"), "{said}");
    }
}

#[test]
fn what_an_endpoint_is_never_sent_is_left_out_and_told_where_it_was_set() {
    let line = ", omit: [temperature, top_p, stop, user, seed, stream_options, user]";
    let body = r#"{"stop":["x"],"user":"u","seed":null,"n":2,"stream_options":{"include_usage":true}}"#;
    let request = request(Operation::Chat, body);
    let stop = Decoding {
        stop: vec!["x".to_owned()],
        ..decoding()
    };
    let (sent, omitted) = asked(&request, line, &stop);
    assert_eq!(sent, r#"{"n":2,"model":"theirs","max_tokens":7,"stream":true}"#);
    assert_eq!(omitted, ["temperature", "stop", "user"]);
    let embedding = Request {
        operation: Operation::Embedding,
        body: r#"{"input":"a","user":"u"}"#.to_owned(),
        ..request
    };
    let (sent, omitted) = asked(&embedding, line, &decoding());
    assert_eq!(sent, r#"{"input":"a","model":"theirs"}"#);
    assert_eq!(omitted, ["user"]);
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
fn what_no_client_streams_is_asked_for_in_one_piece_unless_its_progress_is_wanted() {
    let whole = |operation, text: &str, line: &str| {
        let request = Request {
            stream: false,
            ..request(operation, text)
        };
        let asked = question(&request, &spec(line), &decoding(), LEFT).unwrap();
        (String::from_utf8(asked.body.to_vec()).unwrap(), asked.whole)
    };
    let cases = [
        ("{}", r#"{"model":"theirs","max_tokens":7,"temperature":0.5}"#),
        (
            r#"{"stream":false}"#,
            r#"{"stream":false,"model":"theirs","max_tokens":7,"temperature":0.5}"#,
        ),
        // The line of a batch.
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":false,"model":"theirs","max_tokens":7,"temperature":0.5}"#,
        ),
    ];
    for (text, expected) in cases {
        for operation in [Operation::Chat, Operation::Completion] {
            assert_eq!(whole(operation, text, ""), (expected.to_owned(), true), "{text}");
        }
        let (sent, is_whole) = whole(Operation::Chat, text, ", progress: true");
        assert!(!is_whole && sent.contains(r#""stream":true"#), "{sent}");
        assert!(
            sent.contains(r#""stream_options":{"include_usage":true}"#),
            "{sent}"
        );
    }
    let (_, is_whole) = whole(Operation::Embedding, r#"{"input":"a"}"#, "");
    assert!(
        !is_whole,
        "vectors come at once, and are waited for as a stream's first bytes are"
    );
}

#[test]
fn what_may_take_longer_than_one_answer_is_waited_for_is_asked_for_as_a_stream() {
    let request = Request {
        stream: false,
        ..request(Operation::Chat, "{}")
    };
    let minutes = |minutes| {
        let left = Duration::from_mins(minutes);
        question(&request, &spec(""), &decoding(), left).unwrap().whole
    };
    assert!(minutes(10));
    // The line of a batch.
    assert!(!minutes(11) && !minutes(24 * 60));
}

#[test]
fn choices_are_counted_as_the_api_reads_them() {
    let cases = [
        (Operation::Chat, r#"{"n":2.0,"prompt":["a","b"]}"#, 2),
        (Operation::Chat, "{}", 1),
        (Operation::Completion, r#"{"prompt":["a","b"]}"#, 2),
        (Operation::Completion, r#"{"prompt":["a","b"],"n":3}"#, 6),
        (Operation::Completion, r#"{"prompt":[1,2,3]}"#, 1),
        (Operation::Completion, r#"{"prompt":[[1,2],[3]],"n":"x"}"#, 2),
        (Operation::Completion, r#"{"prompt":"a","n":0}"#, 1),
        (Operation::Embedding, r#"{"input":["a","b"],"n":5}"#, 2),
        (Operation::Embedding, r#"{"input":"a"}"#, 1),
    ];
    for (operation, body, expected) in cases {
        let asked = question(&request(operation, body), &spec(""), &decoding(), LEFT).unwrap();
        assert_eq!(asked.choices, expected, "{body}");
    }
}

#[test]
fn the_best_of_several_is_not_asked_for_as_a_stream_whatever_is_wanted() {
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
    let request = request(Operation::Chat, "[]");
    assert!(question(&request, &spec(""), &decoding(), LEFT).is_err());
}
