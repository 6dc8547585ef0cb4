//! A model that takes neither `max_tokens` nor a temperature, from the client's body to the endpoint's and back.

use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::http;
use relay_tests::mock::newest;
use serde_json::{Value, json};

/// The policy of the proofs, under which nothing is set that the client does not set; and an endpoint that is never sent a temperature.
async fn started() -> Gateway {
    let mut gateway = Gateway::prepare(KILLABLE, &[]).expect("it is prepared");
    let change = |file: &str, change: &dyn Fn(String) -> String| {
        let path = gateway.folder.path().join(file);
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(path, change(text)).expect("written");
    };
    change("policy.yaml", &|text| {
        assert!(text.contains("default: 64") && text.contains("default: 0"));
        text.replace("default: 64", "default: unset")
            .replace("default: 0", "default: unset")
    });
    change("models.yaml", &|text| {
        text + "    limit_field: max_completion_tokens\n    omit: [temperature]\n"
    });
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_leaves_unset_is_not_sent_and_what_it_set_in_vain_is_told_streamed_and_whole() {
    let gateway = started().await;
    let url = format!("{}/v1/chat/completions", gateway.base_url);
    let ask = async |more: Value| {
        let mut body = json!({ "model": "mock", "messages": [{ "role": "developer", "content": "think" }] });
        let members = body.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        let response = http::client().post(&url).json(&body).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        let told = response.text().await.expect("it ends");
        let sent = newest(gateway.backend()).await.expect("it tells");
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        (sent, told)
    };
    let (sent, told) = ask(json!({})).await;
    for field in ["max_tokens", "max_completion_tokens", "temperature"] {
        assert!(sent.get(field).is_none(), "{field}: {sent}");
    }
    assert!(!told.contains("relay_omitted"), "{told}");
    for stream in [false, true] {
        let (sent, told) = ask(json!({ "max_tokens": 9, "temperature": 0.5, "stream": stream })).await;
        assert_eq!(sent["max_completion_tokens"], 9, "{sent}");
        for field in ["max_tokens", "temperature"] {
            assert!(sent.get(field).is_none(), "{field}: {sent}");
        }
        assert!(told.contains(r#""relay_omitted":["temperature"]"#), "{told}");
    }
}
