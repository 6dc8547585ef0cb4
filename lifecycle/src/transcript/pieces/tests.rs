use relay_schemas::FinishReason;

use super::*;
use crate::transcript::Transcript;

fn delta(says: impl FnOnce(&mut Delta)) -> Delta {
    let mut delta = Delta::default();
    says(&mut delta);
    delta
}

fn call(says: impl FnOnce(&mut ToolCallDelta)) -> Delta {
    let mut call = ToolCallDelta::default();
    says(&mut call);
    delta(|delta| delta.tool_calls = vec![call])
}

/// A delta for each place where one holds `text`: what it takes beside it, and whether the text is left whole.
fn places(text: &str) -> [(Delta, usize, bool); 12] {
    let (own, some, list) = (
        || text.to_owned(),
        || Some(text.to_owned()),
        || vec![text.to_owned()],
    );
    [
        (delta(|delta| delta.text = own()), 0, false),
        (delta(|delta| delta.reasoning = own()), 0, false),
        (delta(|delta| delta.refusal = own()), 0, false),
        (call(|call| call.arguments = own()), CALL, false),
        (call(|call| call.id = some()), CALL, true),
        (call(|call| call.kind = some()), CALL, true),
        (call(|call| call.name = some()), CALL, true),
        (call(|call| call.extra = some()), CALL, true),
        (delta(|delta| delta.logprobs = list()), ENTRY, true),
        (delta(|delta| delta.refusal_logprobs = list()), ENTRY, true),
        (delta(|delta| delta.extra = some()), 0, true),
        (delta(|delta| delta.choice_extra = some()), 0, true),
    ]
}

#[test]
fn every_text_of_a_delta_counts_once_wherever_it_stands() {
    let text = "seven b";
    for (delta, beside, is_whole) in places(text) {
        assert_eq!(weight(&delta), DELTA + beside + text.len(), "{delta:?}");
        let whole = if is_whole { text.len() } else { 0 };
        assert_eq!(indivisible(&delta), DELTA + beside + whole, "{delta:?}");
    }
}

#[test]
fn of_what_stays_whole_the_largest_counts_and_unknown_fields_go_together() {
    let lists = Delta {
        logprobs: vec!["{}".to_owned(), "[1,2,3]".to_owned()],
        refusal_logprobs: vec!["[]".to_owned()],
        ..Delta::text("long, but divisible")
    };
    assert_eq!(indivisible(&lists), DELTA + ENTRY + 7);
    let fields = Delta {
        extra: Some("0123456789".to_owned()),
        choice_extra: Some("0123456789".to_owned()),
        ..lists
    };
    assert_eq!(indivisible(&fields), DELTA + 20);
}

#[test]
fn a_delta_that_fits_stays_one_and_one_that_does_not_is_cut_between_kinds_first() {
    let reasoning = delta(|delta| delta.reasoning = "why".to_owned());
    let both = Delta {
        text: "what".to_owned(),
        ..reasoning.clone()
    };
    let weight = weight(&both);
    assert_eq!(pieces(both.clone(), weight - 1), [reasoning, Delta::text("what")]);
    assert_eq!(pieces(both.clone(), weight), [both]);
}

#[test]
fn texts_are_cut_between_characters_and_lists_between_entries_to_as_few_pieces_as_fit() {
    let texts = |room| pieces(Delta::text("aé€b"), DELTA + room);
    assert_eq!(texts(3), ["aé", "€", "b"].map(Delta::text));
    assert_eq!(texts(0), ["a", "é", "€", "b"].map(Delta::text));
    let list = || vec!["entry1".to_owned(); 7];
    let parts = |room| {
        let parts = pieces(delta(|delta| delta.logprobs = list()), DELTA + room);
        parts.iter().map(|part| part.logprobs.len()).collect::<Vec<_>>()
    };
    let entry = ENTRY + "entry1".len();
    assert_eq!(parts(3 * entry), [3, 3, 1]);
    assert_eq!(parts(3 * entry - 1), [2, 2, 2, 1]);
    assert_eq!(parts(0), [1; 7]);
}

#[test]
fn a_vector_is_cut_into_as_few_pieces_as_fit_and_one_without_values_is_kept() {
    let of = |values: &[f32]| Embedding {
        index: 3,
        values: values.to_vec(),
    };
    let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(embedding_weight(&of(&values[..3])), 16 + 3 * size_of::<f32>());
    for (room, most) in [(28, 3), (31, 3), (27, 2), (16, 1), (0, 1)] {
        let expected: Vec<Embedding> = values.chunks(most).map(of).collect();
        assert_eq!(embedding_pieces(&of(&values), room), expected, "{room} bytes");
    }
    assert_eq!(embedding_pieces(&of(&[]), 0), [of(&[])]);
}

/// Both in a list, `second` joined to `first`.
fn joined(first: &Delta, second: &Delta) -> Vec<Delta> {
    let mut deltas = vec![first.clone()];
    join(&mut deltas, vec![second.clone()]);
    deltas
}

/// What deltas say together.
fn told(deltas: &[Delta]) -> Transcript {
    let mut transcript = Transcript::default();
    for delta in deltas {
        transcript.apply_delta(delta);
    }
    transcript
}

#[test]
fn neighbours_of_each_kind_become_one_that_says_both() {
    let grows = |delta: &Delta| {
        let has_arguments = |call: &ToolCallDelta| !call.arguments.is_empty();
        delta.tool_calls.iter().all(has_arguments) && delta.extra.is_none() && delta.choice_extra.is_none()
    };
    for ((first, ..), (second, ..)) in places("a").into_iter().zip(places("b")) {
        if grows(&first) {
            let one = joined(&first, &second);
            assert_eq!(one.len(), 1, "{one:?}");
            assert_eq!(told(&one), told(&[first, second]));
        }
    }
}

#[test]
fn what_says_anything_else_stands_by_itself() {
    let some = || Some("{}".to_owned());
    let text = Delta::text("a");
    let of_text = |says: &dyn Fn(&mut Delta)| {
        let mut delta = text.clone();
        says(&mut delta);
        delta
    };
    let both = of_text(&|delta| delta.reasoning = "b".to_owned());
    let beside_a_text = [
        delta(|delta| delta.reasoning = "b".to_owned()),
        both.clone(),
        of_text(&|delta| delta.index = 1),
        of_text(&|delta| delta.finish_reason = Some(FinishReason::Stop)),
        of_text(&|delta| delta.extra = some()),
        of_text(&|delta| delta.choice_extra = some()),
        Delta::finish(0, FinishReason::Stop),
    ];
    let arguments = |says: &dyn Fn(&mut ToolCallDelta)| {
        call(|call| {
            call.arguments = "{".to_owned();
            says(call);
        })
    };
    let plain = arguments(&|_| {});
    let other = arguments(&|call| call.index = 1);
    let mut two_calls = plain.clone();
    two_calls.tool_calls.extend(other.tool_calls.clone());
    // A call says its names once: what says them again is another piece, and none follows on what came along with it.
    let with_extra = arguments(&|call| call.extra = some());
    let behind_a_call = [
        arguments(&|call| call.id = some()),
        arguments(&|call| call.kind = some()),
        arguments(&|call| call.name = some()),
        with_extra.clone(),
    ];
    let mut apart = vec![
        (&both, &both),
        (&two_calls, &two_calls),
        (&with_extra, &plain),
        (&plain, &other),
        (&plain, &two_calls),
        (&two_calls, &plain),
    ];
    apart.extend(behind_a_call.iter().map(|named| (&plain, named)));
    apart.extend(
        beside_a_text
            .iter()
            .flat_map(|other| [(&text, other), (other, &text)]),
    );
    for (first, second) in apart {
        assert_eq!(joined(first, second), [first.clone(), second.clone()]);
    }
}
