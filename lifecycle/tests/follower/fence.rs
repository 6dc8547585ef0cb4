//! What a fence forgets, and what it must not.

use crate::scene::{START, finish, last, outcome, piece, run, show, streamed, whole, without_text};

#[test]
fn a_fenced_attempt_is_ignored_and_the_next_one_followed() {
    for (mut follower, sees) in [(streamed(), true), (whole(), false)] {
        follower.on_frame(piece(1, 0, "a"), START);
        assert_eq!(follower.fence(1), sees);
        assert_eq!(
            follower.on_frame(last(1, 1, "a"), START),
            [],
            "not even its end counts"
        );
    }
    let mut follower = streamed();
    assert!(!follower.fence(1));
    assert_eq!(follower.on_frame(piece(1, 0, "a"), START), []);
    assert_eq!(follower.on_frame(piece(2, 0, "b"), START), show("b"));
}

/// Found by the simulation, seed 326: a worker that had only stood still was fenced, and its outcome still came first.
#[test]
fn a_fenced_run_that_wins_all_the_same_is_the_one_that_is_told() {
    let mut follower = whole();
    follower.on_frame(piece(1, 0, "a"), START);
    follower.fence(1);
    follower.on_frame(piece(2, 0, "x"), START);
    follower.on_frame(last(2, 1, "x"), START);
    let won = outcome(&run(1), "a");
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "a")]);
}

/// Found by the property below: the fence made the follower forget the run whose text it was collecting, for ever.
#[test]
fn a_fence_does_not_stop_the_collection_of_a_recorded_answer() {
    let mut follower = whole();
    follower.on_frame(piece(1, 1, "b"), START);
    follower.on_winner(&without_text(&run(1)), START);
    follower.fence(1);
    follower.on_frame(piece(1, 0, "a"), START);
    assert_eq!(
        follower.on_frame(last(1, 2, "ab"), START),
        [finish(&without_text(&run(1)), "ab")]
    );
}

#[test]
fn a_run_begun_anew_is_told_where_nothing_was_shown_of_the_fenced_one() {
    let mut follower = whole();
    follower.on_frame(piece(1, 0, "a"), START);
    follower.fence(1);
    follower.on_frame(piece(2, 0, "x"), START);
    follower.on_frame(last(2, 1, "x"), START);
    let won = without_text(&run(2));
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "x")]);
}

#[test]
fn a_fence_forgets_nothing_of_a_later_attempt() {
    let mut follower = whole();
    follower.on_frame(piece(2, 0, "x"), START);
    assert!(!follower.fence(1));
    follower.on_frame(last(2, 1, "x"), START);
    let won = without_text(&run(2));
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "x")]);
}

#[test]
fn a_client_that_was_shown_an_answer_to_its_end_has_seen_some_of_it() {
    let won = outcome(&run(1), "a");
    let mut read = streamed();
    read.on_frame(piece(1, 0, "a"), START);
    let told_by_the_record = streamed();
    for mut follower in [read, told_by_the_record] {
        follower.on_winner(&won, START);
        assert!(follower.fence(1));
    }
}
