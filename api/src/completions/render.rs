//! The `text_completion` object.

use relay_schemas::{Choice, Final, FinishReason, Operation};

use super::logprobs;
use crate::json::write_string;
use crate::response::{Facts, answer, members, put};

/// The answer as one object.
pub fn completion(facts: Facts<'_>, end: &Final, choices: &[Choice]) -> String {
    answer(
        Operation::Completion,
        "text_completion",
        facts,
        end,
        choices,
        choice,
    )
}

fn choice(out: &mut String, choice: &Choice) {
    out.push_str(r#"{"text":"#);
    write_string(out, choice.message.text.as_deref().unwrap_or_default());
    put(out, format_args!(r#","index":{},"logprobs":"#, choice.index));
    logprobs::write(out, &choice.message.logprobs, 0);
    out.push_str(r#","finish_reason":"#);
    write_string(out, choice.finish_reason.unwrap_or(FinishReason::Stop).name());
    for extra in [&choice.extra, &choice.message.extra] {
        members(
            out,
            extra.as_deref(),
            &["text", "index", "logprobs", "finish_reason"],
        );
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn a_text_is_one_choice_with_its_log_probabilities() {
        let facts = Facts {
            request_id: "r",
            model: "asked",
            created: 7,
        };
        let mut answer = samples::answer("Hello");
        answer.choices[0]
            .message
            .logprobs
            .push(r#"{"token":"Hello","logprob":-0.10}"#.to_owned());
        insta::assert_snapshot!(completion(facts, &samples::last(), &answer.choices));
    }
}
