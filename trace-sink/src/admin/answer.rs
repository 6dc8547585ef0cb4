//! An answer for people: each choice in parts, what belongs to specialists folded away. Pure.

use relay_schemas::{Answer, Choice, ToolCall};
use serde::Serialize;

use super::indent::indented;

/// What the page shows of an answer.
#[derive(Debug, Serialize)]
pub(super) struct AnswerView<'a> {
    model: &'a str,
    model_version: &'a str,
    content_dropped: bool,
    choices: Vec<ChoiceView<'a>>,
    /// Of each vector, its index and how many values it has.
    vectors: Vec<(u32, usize)>,
    details: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct ChoiceView<'a> {
    index: u32,
    finish_reason: Option<&'a str>,
    parts: Vec<Part>,
    details: Vec<Part>,
}

/// A label and what it says.
#[derive(Debug, PartialEq, Serialize)]
struct Part {
    label: String,
    text: String,
}

/// The page's view of an answer.
pub(super) fn view(answer: &Answer) -> AnswerView<'_> {
    AnswerView {
        model: &answer.model,
        model_version: &answer.model_version,
        content_dropped: answer.content_dropped,
        choices: answer.choices.iter().map(choice).collect(),
        vectors: answer
            .embeddings
            .iter()
            .map(|vector| (vector.index, vector.values.len()))
            .collect(),
        details: json_parts([
            ("usage in detail", &answer.usage_details),
            ("further fields", &answer.extra),
        ]),
    }
}

fn choice(choice: &Choice) -> ChoiceView<'_> {
    let message = &choice.message;
    let said = [
        ("reasoning", &message.reasoning),
        ("text", &message.text),
        ("refusal", &message.refusal),
    ];
    let said = said.into_iter().filter_map(|(label, text)| {
        let text = text.clone().filter(|text| !text.is_empty())?;
        Some(part(label, text))
    });
    let mut details: Vec<Part> = [
        ("log-probabilities", &message.logprobs),
        ("log-probabilities of the refusal", &message.refusal_logprobs),
    ]
    .into_iter()
    .filter(|(_, entries)| !entries.is_empty())
    .map(|(label, entries)| part(format!("{label}, {} tokens", entries.len()), entries.join("\n")))
    .collect();
    details.extend(json_parts([
        ("further fields of the message", &message.extra),
        ("further fields of the choice", &choice.extra),
    ]));
    ChoiceView {
        index: choice.index,
        finish_reason: choice.finish_reason.map(relay_schemas::FinishReason::name),
        parts: said.chain(message.tool_calls.iter().map(call)).collect(),
        details,
    }
}

fn call(call: &ToolCall) -> Part {
    let mut text = indented(&call.arguments);
    if let Some(extra) = &call.extra {
        text.push_str("\nfurther fields: ");
        text.push_str(&indented(extra));
    }
    part(format!("calls {} ({} {})", call.name, call.kind, call.id), text)
}

fn json_parts<const N: usize>(parts: [(&str, &Option<String>); N]) -> Vec<Part> {
    let known = parts
        .into_iter()
        .filter_map(|(label, json)| Some((label, json.as_ref()?)));
    known.map(|(label, json)| part(label, indented(json))).collect()
}

fn part(label: impl Into<String>, text: String) -> Part {
    Part {
        label: label.into(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use relay_schemas::samples;

    use super::*;

    #[test]
    fn everything_that_an_answer_says_is_shown() {
        let answer = samples::rich_answer();
        let view = view(&answer);
        let labels: Vec<Vec<&str>> = view
            .choices
            .iter()
            .map(|choice| choice.parts.iter().map(|part| part.label.as_str()).collect())
            .collect();
        let calls = [
            "reasoning",
            "calls weather (function call_1)",
            "calls weather (function call_2)",
        ];
        assert_eq!(labels, [&calls[..], &["text"], &["refusal"]]);
        let shown = serde_json::to_string(&view).expect("a view");
        for said in [
            "Zürich",
            "signature",
            "fp_1",
            "9007199254740993",
            "1e400",
            "cached_tokens",
            "-1e-9",
            "tool_calls",
        ] {
            assert!(shown.contains(said), "{said}");
        }
        assert_eq!(view.vectors, [(0, 3)]);
    }
}
