//! Transcripts: whatever the pieces, the answer is one; and what follows behind any part of it makes it whole.

use proptest::prelude::*;
use relay_lifecycle::Transcript;
use relay_lifecycle::transcript::{deltas_of, join, pieces, weight};
use relay_schemas::{
    Answer, Choice, Delta, Embedding, FinishReason, Frame, Message, ToolCall, ToolCallDelta, encode, samples,
};

fn call(index: u32, name: Option<&str>, arguments: &str) -> Delta {
    Delta {
        tool_calls: vec![ToolCallDelta {
            index,
            id: name.map(|name| format!("call-{name}")),
            kind: name.map(|_| "function".to_owned()),
            name: name.map(str::to_owned),
            arguments: arguments.to_owned(),
            extra: None,
        }],
        ..Delta::default()
    }
}

fn of(deltas: &[Delta]) -> Transcript {
    let mut transcript = Transcript::default();
    for delta in deltas {
        transcript.apply_delta(delta);
    }
    transcript
}

#[test]
fn arguments_of_calls_are_joined_by_index_in_order_of_appearance() {
    let said = of(&[
        call(0, Some("weather"), ""),
        call(0, None, r#"{"city":"#),
        call(3, Some("time"), "{}"),
        call(0, Some("weather"), r#""Köln"}"#),
    ]);
    let expected = |name: &str, arguments: &str| ToolCall {
        id: format!("call-{name}"),
        kind: "function".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        extra: None,
    };
    assert_eq!(
        said.choices()[0].message.tool_calls,
        [expected("weather", r#"{"city":"Köln"}"#), expected("time", "{}")]
    );
}

#[test]
fn two_calls_of_one_function_without_ids_and_arguments_stay_two_however_they_are_told() {
    let call = |index| {
        let mut delta = call(index, None, "");
        delta.tool_calls[0].name = Some("f".to_owned());
        delta
    };
    let mut both = call(0);
    both.tool_calls.extend(call(1).tool_calls);
    let mut joined = Vec::new();
    join(&mut joined, pieces(both.clone(), 0));
    let said = of(&[both]);
    let answer = Answer {
        choices: said.choices().to_vec(),
        ..Answer::default()
    };
    assert_eq!(answer.choices[0].message.tool_calls.len(), 2);
    assert_eq!(of(&joined), said, "in pieces");
    assert_eq!(Transcript::of(&answer), said, "as a whole");
    let rest = said.remainder_after(&of(&[call(0)])).expect("a beginning");
    assert_eq!(rest[0].tool_calls, call(1).tool_calls, "behind the first");
}

#[test]
fn what_follows_behind_calls_goes_to_the_index_that_the_client_knows() {
    let shown = of(&[call(7, Some("weather"), r#"{"ci"#)]);
    let whole = of(&[
        call(0, Some("weather"), r#"{"city":1}"#),
        call(1, Some("time"), "{}"),
    ]);
    let rest = whole.remainder_after(&shown).expect("a beginning");
    let calls: Vec<(u32, &str)> = rest[0]
        .tool_calls
        .iter()
        .map(|call| (call.index, call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [(7, r#"ty":1}"#), (8, "{}")]);
}

#[test]
fn choices_are_kept_apart_and_in_order_whichever_comes_first() {
    let of_choice = |index, text: &str| Delta {
        index,
        ..Delta::text(text)
    };
    let said = of(&[
        of_choice(2, "c"),
        of_choice(0, "a"),
        of_choice(2, "d"),
        Delta::finish(0, FinishReason::Length),
    ]);
    let texts: Vec<_> = said
        .choices()
        .iter()
        .map(|choice| (choice.index, choice.message.text.as_deref(), choice.finish_reason))
        .collect();
    assert_eq!(
        texts,
        [(0, Some("a"), Some(FinishReason::Length)), (2, Some("cd"), None)]
    );
}

#[test]
fn the_last_reason_is_why_a_choice_ended() {
    let said = of(&[
        Delta::finish(0, FinishReason::Stop),
        Delta::finish(0, FinishReason::Length),
        Delta::text("a"),
    ]);
    assert_eq!(said.choices()[0].finish_reason, Some(FinishReason::Length));
}

#[test]
fn a_text_that_never_came_is_none_and_not_an_empty_one() {
    let said = of(&[
        call(0, Some("f"), "{}"),
        Delta::finish(0, FinishReason::ToolCalls),
    ]);
    assert_eq!(said.choices()[0].message.text, None);
    assert!(
        of(&[Delta::default()]).is_empty(),
        "what says nothing leaves nothing"
    );
}

#[test]
fn what_differs_has_no_remainder() {
    let whole = of(&[Delta::text("abc"), Delta::finish(0, FinishReason::Stop)]);
    let cases = [
        Delta::text("ax"),
        Delta::text("abcd"),
        Delta {
            index: 1,
            ..Delta::text("abc")
        },
        Delta::finish(0, FinishReason::Length),
        call(0, Some("f"), ""),
        Delta {
            logprobs: vec!["{}".to_owned()],
            ..Delta::default()
        },
    ];
    for shown in cases {
        assert_eq!(
            whole.remainder_after(&of(std::slice::from_ref(&shown))),
            None,
            "{shown:?}"
        );
    }
}

#[test]
fn vectors_are_joined_by_index() {
    let mut said = Transcript::default();
    for (index, values) in [(1, vec![3.0]), (0, vec![1.0]), (1, vec![4.0, 5.0])] {
        said.apply_embedding(&Embedding { index, values });
    }
    let values: Vec<&[f32]> = said
        .embeddings()
        .iter()
        .map(|vector| &vector.values[..])
        .collect();
    assert_eq!(values, [&[1.0][..], &[3.0, 4.0, 5.0]]);
}

#[test]
fn neighbours_that_say_more_of_the_same_become_one() {
    let mut deltas = samples::deltas("a");
    join(&mut deltas, vec![Delta::text("b"), call(0, Some("f"), "{")]);
    join(&mut deltas, vec![call(0, None, "}"), Delta::text("c")]);
    assert_eq!(
        deltas,
        [Delta::text("ab"), call(0, Some("f"), "{}"), Delta::text("c")]
    );
}

/// Some pieces of an answer as endpoints send them.
fn any_deltas() -> impl Strategy<Value = Vec<Delta>> {
    let text = || "[aä😀\"]{0,4}";
    let entries = || {
        prop::collection::vec(
            prop_oneof![Just("{}".to_owned()), Just(r#"{"token":"a"}"#.to_owned())],
            0..3,
        )
    };
    let extra = || {
        prop_oneof![
            3 => Just(None),
            1 => "[a-z😀]{0,3}".prop_map(|text| Some(format!(r#"{{"thoughts":"{text}"}}"#))),
            1 => any::<u8>().prop_map(|n| Some(format!(r#"{{"n":{n},"l":[{n}],"o":{{"type":"t","d":"x"}}}}"#))),
        ]
    };
    let calls = prop::collection::vec((0_u32..3, text(), extra()), 0..3).prop_map(|calls| {
        let call = |(index, arguments, extra): (u32, String, Option<String>)| ToolCallDelta {
            index,
            id: Some(format!("id-{index}")),
            kind: None,
            name: Some(format!("f{index}")),
            arguments,
            extra,
        };
        calls.into_iter().map(call).collect::<Vec<_>>()
    });
    let delta = (
        0_u32..3,
        text(),
        text(),
        text(),
        calls,
        entries(),
        extra(),
        extra(),
    )
        .prop_map(
            |(index, text, reasoning, refusal, tool_calls, logprobs, extra, choice_extra)| Delta {
                index,
                text,
                reasoning,
                refusal,
                tool_calls,
                refusal_logprobs: logprobs.clone(),
                logprobs,
                finish_reason: None,
                extra,
                choice_extra,
            },
        );
    (prop::collection::vec(delta, 0..8), any::<bool>()).prop_map(|(mut deltas, ends)| {
        if ends {
            let reasons = FinishReason::ALL.into_iter().zip(0..3);
            deltas.extend(reasons.map(|(reason, index)| Delta::finish(index, reason)));
        }
        deltas
    })
}

proptest! {
    #[test]
    fn any_split_of_the_deltas_gives_the_same_answer(deltas in any_deltas(), room in 0_usize..300) {
        let cut: Vec<Delta> = deltas.iter().cloned().flat_map(|delta| pieces(delta, room)).collect();
        prop_assert_eq!(of(&cut), of(&deltas));
        let mut joined = Vec::new();
        for delta in cut {
            join(&mut joined, vec![delta]);
        }
        prop_assert_eq!(of(&joined), of(&deltas));
    }

    #[test]
    fn a_piece_is_no_larger_than_its_room(text in ".{0,60}", room in 100_usize..140) {
        let delta = Delta { reasoning: text.clone(), ..call(0, None, &text) };
        for piece in pieces(delta, room + 8) {
            prop_assert!(weight(&piece) <= room + 8);
        }
    }

    #[test]
    fn a_delta_takes_no_more_on_the_wire_than_its_weight_says(deltas in any_deltas()) {
        let takes = |deltas: Vec<Delta>| encode(&Frame { deltas, ..samples::frame(0, "") }).len();
        let nothing = takes(Vec::new());
        for delta in deltas {
            prop_assert!(takes(vec![delta.clone()]) - nothing <= weight(&delta), "{delta:?}");
        }
    }

    #[test]
    fn the_remainder_behind_any_part_makes_it_whole(deltas in any_deltas(), at in any::<prop::sample::Index>()) {
        let whole = of(&deltas);
        let mut seen = of(&deltas[..at.index(deltas.len() + 1)]);
        let rest = whole.remainder_after(&seen).expect("it is a part of it");
        for delta in &rest { seen.apply_delta(delta); }
        prop_assert_eq!(&seen, &whole);
        prop_assert_eq!(whole.remainder_after(&seen), Some(Vec::new()));
    }

    #[test]
    fn an_answer_told_in_deltas_is_that_answer(deltas in any_deltas()) {
        let (choices, embeddings) = of(&deltas).into_parts();
        let answer = Answer { choices, embeddings, ..Answer::default() };
        let told = of(&deltas_of(&answer.choices));
        prop_assert_eq!(told.choices(), &answer.choices[..]);
        prop_assert_eq!(Transcript::of(&answer), told);
    }
}

#[test]
fn a_message_of_every_kind_is_told_whole() {
    let text = |text: &str| Some(text.to_owned());
    let choice = Choice {
        index: 4,
        message: Message {
            text: text("t"),
            reasoning: text("r"),
            refusal: text("no"),
            tool_calls: vec![ToolCall {
                id: "1".to_owned(),
                kind: "function".to_owned(),
                name: "f".to_owned(),
                arguments: "{}".to_owned(),
                extra: text("{}"),
            }],
            logprobs: vec!["{}".to_owned()],
            refusal_logprobs: vec!["{}".to_owned()],
            extra: text(r#"{"a":9007199254740993}"#),
        },
        finish_reason: Some(FinishReason::ToolCalls),
        extra: text(r#"{"stop_reason":null}"#),
    };
    assert_eq!(of(&deltas_of(std::slice::from_ref(&choice))).choices(), [choice]);
}
