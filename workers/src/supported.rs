//! What of a request a model that runs here can honour. Pure.
//!
//! Any other field would be accepted and do nothing, a misspelt one included: it is refused by its name. An endpoint is asked for
//! everything that a client wrote, and answers for itself.

use relay_api::chat::Chat;
use relay_api::completions::Completion;
use relay_api::raw::Object;
use relay_api::sampling::Sampling;

/// The fields that have a meaning here, and those that change no answer (`prediction` and the cache's are hints, `safety_identifier` names a user).
const BOTH: [&str; 22] = [
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
    "stop",
    "logit_bias",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "service_tier",
    "logprobs",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];
const OF_CHAT: [&str; 14] = [
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "top_logprobs",
    "reasoning_effort",
    "verbosity",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
];
const OF_COMPLETION: [&str; 4] = ["prompt", "suffix", "echo", "best_of"];

/// # Errors
/// What of a chat, whose body is `body`, is not supported.
pub fn chat(chat: &Chat, body: &str) -> Result<(), String> {
    refuse(&of_sampling(&chat.sampling))?;
    refuse(&of_chat(chat))?;
    no_other(body, &OF_CHAT)
}

/// # Errors
/// What of a completion, whose body is `body`, is not supported.
pub fn completion(completion: &Completion, body: &str) -> Result<(), String> {
    refuse(&of_sampling(&completion.sampling))?;
    refuse(&of_completion(completion))?;
    no_other(body, &OF_COMPLETION)
}

/// A name may be as long and as secret as any content: one that is not plain is not repeated.
fn no_other(body: &str, own: &[&str]) -> Result<(), String> {
    let members = Object::parse(body).map_err(|_| "the body is no JSON object".to_owned())?;
    let other = members
        .iter()
        .find(|(name, value)| *value != "null" && !BOTH.contains(name) && !own.contains(name));
    let Some((name, _)) = other else { return Ok(()) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.len() <= 64 && name.bytes().all(plain) {
        return Err(unsupported(&format!("`{name}`")));
    }
    Err(unsupported("a field of this name"))
}

fn other_than(said: Option<&String>, nothing: &[&str]) -> bool {
    said.is_some_and(|said| !nothing.contains(&said.as_str()))
}

/// A field, and whether it is asked for.
type RequestedField = (&'static str, bool);

/// What is said of it.
pub fn unsupported(what: &str) -> String {
    format!("{what} is not supported by models that run on ONNX Runtime yet")
}

fn refuse(fields: &[RequestedField]) -> Result<(), String> {
    match fields.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => Err(unsupported(&format!("`{field}`"))),
        None => Ok(()),
    }
}

fn of_sampling(sampling: &Sampling) -> [RequestedField; 5] {
    let set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    let biased = sampling.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty());
    [
        ("n", sampling.n.is_some_and(|n| n.0 > 1)),
        ("frequency_penalty", set(sampling.frequency_penalty)),
        ("presence_penalty", set(sampling.presence_penalty)),
        ("logit_bias", biased),
        (
            "service_tier",
            other_than(sampling.service_tier.as_ref(), &["auto", "default"]),
        ),
    ]
}

fn of_chat(chat: &Chat) -> [RequestedField; 9] {
    let fields = &chat.fields;
    let formatted = fields
        .response_format
        .as_ref()
        .is_some_and(|format| format.kind != "text");
    let modalities = fields.modalities.iter().flatten();
    [
        (
            "tools",
            fields.tools.as_ref().is_some_and(|tools| !tools.is_empty()),
        ),
        (
            "functions",
            fields
                .functions
                .as_ref()
                .is_some_and(|functions| !functions.is_empty()),
        ),
        ("logprobs", fields.logprobs == Some(true)),
        ("response_format", formatted),
        ("audio", fields.audio.is_some()),
        (
            "modalities",
            modalities.into_iter().any(|modality| modality != "text"),
        ),
        ("web_search_options", fields.web_search_options.is_some()),
        (
            "reasoning_effort",
            other_than(fields.reasoning_effort.as_ref(), &["none"]),
        ),
        ("verbosity", other_than(fields.verbosity.as_ref(), &["medium"])),
    ]
}

fn of_completion(completion: &Completion) -> [RequestedField; 4] {
    let task = &completion.task;
    [
        ("best_of", task.best_of.is_some_and(|best| best.0 > 1)),
        ("echo", task.echo == Some(true)),
        ("logprobs", task.logprobs.is_some()),
        (
            "suffix",
            task.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()),
        ),
    ]
}
