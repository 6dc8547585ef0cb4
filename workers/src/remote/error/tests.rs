use super::*;

fn meaning(body: &str, status: Option<u16>) -> Failed {
    UpstreamError::parse(body.as_bytes()).meaning(status, &Hidden::default())
}

#[test]
fn statuses_become_codes_and_only_passing_ones_are_tried_again() {
    let cases = [
        (400, Code::InvalidRequest, false),
        (401, Code::BackendError, false),
        (404, Code::BackendError, false),
        (407, Code::BackendError, false),
        (408, Code::BackendUnavailable, true),
        (413, Code::InvalidRequest, false),
        (422, Code::InvalidRequest, false),
        (429, Code::BackendBusy, true),
        (500, Code::BackendError, true),
        (503, Code::BackendUnavailable, true),
        (302, Code::BackendError, false),
        (204, Code::BackendError, false),
    ];
    for (status, code, passing) in cases {
        let failed = meaning("", Some(status));
        assert_eq!((failed.failure.code, failed.passing), (code, passing), "{status}");
    }
}

#[test]
fn errors_without_a_status_are_what_their_words_say() {
    let cases = [
        (
            r#"{"error":{"code":400,"message":"m"}}"#,
            Code::InvalidRequest,
            false,
        ),
        (
            r#"{"error":{"type":"invalid_request_error"}}"#,
            Code::InvalidRequest,
            false,
        ),
        (
            r#"{"type":"BadRequestError","message":"m"}"#,
            Code::InvalidRequest,
            false,
        ),
        (
            r#"{"error":{"type":"authentication_error"}}"#,
            Code::BackendError,
            false,
        ),
        (
            r#"{"error":{"code":"rate_limit_exceeded"}}"#,
            Code::BackendBusy,
            true,
        ),
        (
            r#"{"error":{"code":"insufficient_quota"}}"#,
            Code::BackendUnavailable,
            false,
        ),
        (
            r#"{"error":{"type":"overloaded_error"}}"#,
            Code::BackendUnavailable,
            true,
        ),
        (r#"{"error":{"type":"server_error"}}"#, Code::BackendError, true),
        (r#"{"error":"something"}"#, Code::BackendError, true),
        (
            r#"[{"error":{"code":503,"status":"UNAVAILABLE"}}]"#,
            Code::BackendUnavailable,
            true,
        ),
    ];
    for (body, code, passing) in cases {
        let failed = meaning(body, None);
        assert_eq!((failed.failure.code, failed.passing), (code, passing), "{body}");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_one_however_it_is_said() {
    for body in [
        r#"{"error":{"code":"context_length_exceeded"}}"#,
        r#"{"object":"error","message":"This model's maximum context length is 10 tokens"}"#,
    ] {
        let failed = meaning(body, Some(400));
        assert_eq!(
            (failed.failure.code, failed.passing),
            (Code::ContextLengthExceeded, false)
        );
    }
}

#[test]
fn the_message_is_told_where_it_is_about_the_clients_request_and_nowhere_else() {
    let body = r#"{"error":{"message":"the words","type":"t y p e","code":"c","param":"messages[0]"}}"#;
    let told = |status| meaning(body, Some(status)).failure.message;
    assert_eq!(
        told(400),
        "the endpoint answered with status 400, code c, param messages[0]: the words"
    );
    for status in [401, 403, 404, 429, 500, 503] {
        assert!(!told(status).contains("the words"), "{status}");
    }
}

#[test]
fn what_is_told_is_bounded_and_holds_no_secret() {
    let hidden = Hidden::new(["sk-key", "http://host:1/v1", "host:1", "", "a"].map(str::to_owned));
    let message = format!("sk-key\n at http://host:1/v1 on host:1 {}", "€".repeat(1_000));
    let error = UpstreamError {
        message: Some(message),
        ..UpstreamError::default()
    };
    let told = error.meaning(Some(400), &hidden).failure.message;
    assert!(told.contains("400: […]  at […] on […] €"), "{told}");
    assert!(
        told.ends_with('…') && told.chars().count() < MESSAGE_CHARS + 60,
        "{told}"
    );
    let in_words = UpstreamError {
        code: Some("for-sk-key".to_owned()),
        ..UpstreamError::default()
    };
    let told = in_words.meaning(Some(503), &hidden).failure.message;
    assert_eq!(told, "the endpoint answered with status 503");
    assert_eq!(UpstreamError::parse(b"<html>"), UpstreamError::default());
}
