//! Answers that hold more than one text: tool calls, several choices, log-probabilities, reasoning, fields of the endpoint's
//! own; text completions; vectors. What is asked for is answered, and made of the words of the prompt.

use serde_json::{Value, json};

/// A chat whose last message begins with this word is answered with a refusal.
pub const REFUSED: &str = "refuse";

/// Whether a chat asks for more than one text.
pub fn is_rich(request: &Value) -> bool {
    ["tools", "n", "logprobs", "reasoning_effort", "response_format"]
        .iter()
        .any(|name| !request[name].is_null())
}

/// The whole answer to a chat.
pub fn chat(request: &Value, tokens: &[String], usage: &Value) -> Value {
    let choices: Vec<Value> = (0..count(request))
        .map(|at| choice(request, tokens, at))
        .collect();
    json!({"id": "mock", "object": "chat.completion", "created": 1, "model": request["model"], "choices": choices,
           "usage": usage, "system_fingerprint": "mock"})
}

fn count(request: &Value) -> u64 {
    request["n"].as_u64().unwrap_or(1)
}

fn choice(request: &Value, tokens: &[String], at: u64) -> Value {
    let mut message = json!({"role": "assistant", "content": tokens.concat(), "mock": {"choice": at, "exact": 9_007_199_254_740_993_u64}});
    let mut reason = "stop";
    if !request["reasoning_effort"].is_null() {
        message["reasoning_content"] = json!(format!("{} words", tokens.len()));
    }
    if !request["response_format"].is_null() {
        message["content"] = json!(json!({"words": tokens}).to_string());
    }
    if tokens.first().is_some_and(|token| token == REFUSED) {
        message["refusal"] = json!(tokens.concat());
        message["content"] = Value::Null;
    }
    let tool = &request["tools"][0]["function"]["name"];
    if !tool.is_null() {
        let arguments = json!({"words": tokens.concat()}).to_string();
        message["content"] = Value::Null;
        message["tool_calls"] = json!([{"id": format!("call_{at}"), "type": "function",
                                        "function": {"name": tool, "arguments": arguments}}]);
        reason = "tool_calls";
    }
    let mut choice = json!({"index": at, "message": message, "finish_reason": reason, "logprobs": null});
    if request["logprobs"] == true {
        let entry =
            |token: &String| json!({"token": token, "logprob": -0.25, "bytes": null, "top_logprobs": []});
        choice["logprobs"] = json!({"content": tokens.iter().map(entry).collect::<Vec<_>>()});
    }
    choice
}

/// The same in chunks: each choice's text, reasoning and arguments in two pieces, then its end.
pub fn chunks(whole: &Value) -> Vec<Value> {
    let chunk = |choice: Value| {
        json!({"id": "mock", "object": "chat.completion.chunk", "model": whole["model"], "choices": [choice],
               "system_fingerprint": "mock"})
    };
    let mut chunks = Vec::new();
    for choice in whole["choices"].as_array().into_iter().flatten() {
        let (index, message) = (&choice["index"], &choice["message"]);
        let mut delta = |delta: Value| {
            chunks.push(chunk(
                json!({"index": index, "delta": delta, "finish_reason": null}),
            ));
        };
        delta(json!({"role": "assistant", "content": "", "mock": message["mock"]}));
        for name in ["reasoning_content", "content", "refusal"] {
            for piece in halves(&message[name]) {
                delta(json!({name: piece}));
            }
        }
        for (at, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let function = &call["function"];
            delta(
                json!({"tool_calls": [{"index": at, "id": call["id"], "type": call["type"],
                                         "function": {"name": function["name"], "arguments": ""}}]}),
            );
            for piece in halves(&function["arguments"]) {
                delta(json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}));
            }
        }
        chunks.push(chunk(
            json!({"index": index, "delta": {}, "finish_reason": choice["finish_reason"],
                                 "logprobs": choice["logprobs"]}),
        ));
    }
    chunks
}

/// The answer to a text completion, which is its own only chunk.
pub fn completion(request: &Value, tokens: &[String], usage: &Value) -> Value {
    let logprobs = match request["logprobs"].as_u64() {
        Some(_) => json!({"tokens": tokens, "token_logprobs": vec![-0.25; tokens.len()]}),
        None => Value::Null,
    };
    let choice = |at: u64| json!({"index": at, "text": tokens.concat(), "finish_reason": "stop", "logprobs": logprobs});
    let prompts = request["prompt"].as_array().map_or(1, |prompts| {
        prompts.iter().filter(|prompt| !prompt.is_number()).count().max(1)
    });
    let choices: Vec<Value> = (0..count(request) * prompts as u64).map(choice).collect();
    json!({"id": "mock", "object": "text_completion", "model": request["model"], "choices": choices, "usage": usage})
}

/// A vector for each input, made of its length.
pub fn embeddings(request: &Value) -> Value {
    let inputs = match &request["input"] {
        Value::Array(inputs) => inputs.clone(),
        one => vec![one.clone()],
    };
    let vector = |(at, input): (usize, &Value)| {
        let length = input.as_str().map_or(0, str::len) as f64;
        json!({"object": "embedding", "index": at, "embedding": [length, 0.5, -1.25]})
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(vector).collect();
    let tokens = data.len();
    json!({"object": "list", "model": request["model"], "data": data,
           "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
}

/// A text in two pieces; nothing of what is none.
fn halves(text: &Value) -> Vec<String> {
    let Some(text) = text.as_str() else {
        return Vec::new();
    };
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    [first, second]
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .map(str::to_owned)
        .collect()
}
