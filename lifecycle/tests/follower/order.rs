//! What is shown of the frames, in which order.

use std::sync::Arc;

use relay_lifecycle::{Follower, Patience, Step};
use relay_schemas::{Delta, FinishReason, Frame, ToolCallDelta};

use crate::scene::{
    HASH, START, ended, finish, last, outcome, over, piece, run, show, show_end, streamed, whole,
};

#[test]
fn frames_in_order_are_shown_as_they_come_and_only_the_winner_ends_it() {
    let mut follower = streamed();
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), show("a"));
    assert_eq!(follower.on_frame(piece(1, 1, "b"), START), show("b"));
    assert_eq!(follower.on_frame(last(1, 2, "ab"), START), []);
    let won = outcome(&run(1), "ab");
    assert_eq!(follower.on_winner(&won, START), [show_end(""), over(&won)]);
    assert!(follower.has_ended());
    assert_eq!(follower.next_wakeup(), None);
    assert_eq!(follower.on_frame(last(1, 2, "ab"), START), []);
    assert_eq!(follower.on_winner(&won, START), []);
}

#[test]
fn an_answer_in_one_piece_is_shown_at_its_end_only() {
    let mut follower = whole();
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), []);
    assert_eq!(follower.on_frame(last(1, 1, "a"), START), []);
    assert!(!follower.fence(0), "nothing was shown");
    let won = outcome(&run(1), "a");
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "a")]);
}

#[test]
fn duplicates_are_passed_over_and_reordered_frames_put_in_order() {
    let mut follower = streamed();
    assert_eq!(follower.on_frame(piece(1, 1, "b"), START), []);
    assert_eq!(follower.on_frame(piece(1, 2, "c"), START), []);
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), show("abc"));
    assert_eq!(follower.on_frame(piece(1, 1, "b"), START), []);
    assert_eq!(
        follower.next_wakeup(),
        Some(START.plus_ms(1_000)),
        "nothing is missing any more"
    );
}

#[test]
fn a_second_run_is_not_shown_and_only_the_winner_tells_which_one_counts() {
    let mut follower = streamed();
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), show("a"));
    assert_eq!(follower.on_frame(piece(2, 0, "x"), START), []);
    assert_eq!(follower.on_frame(last(2, 1, "x"), START), []);
    assert_eq!(follower.on_frame(piece(1, 1, "b"), START), show("b"));
    let won = outcome(&run(1), "ab");
    assert_eq!(follower.on_winner(&won, START), [show_end(""), over(&won)]);
}

#[test]
fn what_is_held_behind_a_gap_is_bounded() {
    let patience = Patience {
        ahead: 2,
        ..Patience::default()
    };
    let mut follower = Follower::new(patience, true, HASH, START);
    for seq in [1, 2, 3] {
        follower.on_frame(piece(1, seq, "x"), START);
    }
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), show("axx"));
    assert_eq!(follower.on_frame(piece(1, 3, "d"), START), show("d"));
}

#[test]
fn calls_of_tools_are_shown_as_they_come_and_what_was_missed_comes_from_the_record() {
    let call = |name: Option<&str>, arguments: &str| Delta {
        tool_calls: vec![ToolCallDelta {
            name: name.map(str::to_owned),
            arguments: arguments.to_owned(),
            ..ToolCallDelta::default()
        }],
        ..Delta::default()
    };
    let mut follower = streamed();
    let first = Frame {
        deltas: vec![call(Some("f"), "{\"a\"")],
        ..piece(1, 0, "")
    };
    assert_eq!(
        follower.on_frame(first, START),
        [Step::Show(vec![call(Some("f"), "{\"a\"")])]
    );
    assert!(follower.fence(0), "it was shown");
    let mut won = outcome(&run(1), "");
    let message = &mut Arc::make_mut(won.answer.as_mut().unwrap()).choices[0].message;
    message.tool_calls.push(relay_schemas::ToolCall {
        name: "f".to_owned(),
        arguments: "{\"a\":1}".to_owned(),
        ..relay_schemas::ToolCall::default()
    });
    let rest = Delta {
        finish_reason: Some(FinishReason::Stop),
        ..call(None, ":1}")
    };
    assert_eq!(
        follower.on_winner(&won, START),
        [Step::Show(vec![rest]), over(&won)]
    );
}

#[test]
fn why_an_answer_ended_is_not_shown_before_its_record() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    let early = Frame {
        deltas: vec![ended()],
        ..piece(1, 1, "b")
    };
    assert_eq!(follower.on_frame(early, START), []);
    let won = outcome(&run(1), "a");
    assert_eq!(follower.on_winner(&won, START), [show_end(""), over(&won)]);
}

#[test]
fn what_comes_behind_the_last_frame_is_passed_over() {
    let mut follower = streamed();
    follower.on_frame(last(1, 0, ""), START);
    assert_eq!(follower.on_frame(piece(1, 1, "x"), START), []);
}
