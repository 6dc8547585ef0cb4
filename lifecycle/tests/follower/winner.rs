//! Only the winner ends an answer, and what it says is what is told.

use std::sync::Arc;

use relay_lifecycle::{Broken, Step};
use relay_schemas::{Outcome, OutcomeStatus, Request, Service, samples};

use crate::scene::{
    HASH, START, failed, finish, last, outcome, over, piece, run, show_end, streamed, whole, without_text,
};

#[test]
fn a_winner_that_comes_before_the_last_frames_brings_their_text() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    let won = outcome(&run(1), "abc");
    assert_eq!(follower.on_winner(&won, START), [show_end("bc"), over(&won)]);
}

#[test]
fn a_text_that_the_sinks_answer_had_no_room_for_comes_from_the_log() {
    let (full, trimmed) = (outcome(&run(1), "long"), without_text(&run(1)));
    let mut follower = whole();
    follower.on_recorded(Some(&full), START);
    assert_eq!(follower.on_winner(&trimmed, START), [finish(&trimmed, "long")]);
    // Or the other way round.
    let mut follower = whole();
    assert_eq!(follower.on_winner(&trimmed, START), []);
    assert_eq!(follower.on_winner(&full, START), [finish(&full, "long")]);
    // Of another run it is not the winner's text.
    let mut follower = whole();
    follower.on_recorded(Some(&outcome(&run(2), "other")), START);
    assert_eq!(follower.on_winner(&trimmed, START), []);
}

#[test]
fn another_winner_than_the_run_shown_is_an_error_unless_it_says_what_was_shown() {
    let shown = || {
        let mut follower = streamed();
        follower.on_frame(piece(1, 0, "a"), START);
        follower.on_frame(piece(2, 0, "a"), START);
        follower
    };
    let other = outcome(&run(2), "b");
    assert_eq!(shown().on_winner(&other, START), [Step::Break(Broken::Diverged)]);
    // The same key was used for the same question twice, and one of the two was answered from a cache.
    let same = outcome(&run(2), "ab");
    assert_eq!(shown().on_winner(&same, START), [show_end("b"), over(&same)]);
    let mut untold = outcome(&run(2), "ab");
    Arc::make_mut(untold.answer.as_mut().unwrap()).drop_content();
    assert_eq!(shown().on_winner(&untold, START), [Step::Break(Broken::Diverged)]);
    let mut told_by_the_log = shown();
    told_by_the_log.on_recorded(Some(&same), START);
    assert_eq!(
        told_by_the_log.on_winner(&untold, START),
        [show_end("b"), over(&untold)]
    );
}

#[test]
fn a_failure_in_the_record_ends_any_run_as_that_failure() {
    for mut follower in [streamed(), whole()] {
        follower.on_frame(piece(1, 0, "a"), START);
        let won = failed(Service::Scheduler);
        let steps = follower.on_winner(&won, START);
        assert!(matches!(&steps[..], [Step::Finish { end, .. }] if end.status == OutcomeStatus::Failed));
    }
}

#[test]
fn the_winner_is_shown_whole_where_nothing_was_shown() {
    let won = outcome(&run(2), "xyz");
    let mut follower = streamed();
    follower.on_frame(piece(1, 1, "lost its beginning"), START);
    assert_eq!(follower.on_winner(&won, START), [show_end("xyz"), over(&won)]);
    let mut follower = whole();
    follower.on_frame(piece(1, 0, "kept, not shown"), START);
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "xyz")]);
}

#[test]
fn a_record_behind_the_winner_changes_nothing() {
    let mut follower = whole();
    assert_eq!(follower.on_winner(&without_text(&run(1)), START), []);
    assert_eq!(follower.on_winner(&outcome(&run(2), "x"), START), []);
    let planned = follower.next_wakeup();
    follower.on_recorded(None, START.plus_ms(-100));
    assert_eq!(follower.next_wakeup(), planned, "nobody need be asked who won");
    follower.on_frame(piece(1, 0, "long"), START);
    assert_eq!(
        follower.on_frame(last(1, 1, "long"), START),
        [finish(&without_text(&run(1)), "long")]
    );
}

fn of_body(request_hash: &str, outcome: Outcome) -> Outcome {
    let request = Request {
        request_hash: request_hash.to_owned(),
        ..samples::request()
    };
    Outcome {
        request: Some(request.into()),
        ..outcome
    }
}

#[test]
fn nobody_is_told_the_answer_to_another_body_under_the_same_key() {
    let other = of_body("another", outcome(&run(1), "of another"));
    let mut unseen = whole();
    assert_eq!(unseen.on_winner(&other, START), [Step::Break(Broken::OtherBody)]);
    let mut shown = streamed();
    shown.on_frame(piece(1, 0, "own"), START);
    assert_eq!(shown.on_winner(&other, START), [Step::Break(Broken::OtherBody)]);
    // A failure of another body says nothing of this one either.
    let other = of_body("another", failed(Service::Scheduler));
    assert_eq!(whole().on_winner(&other, START), [Step::Break(Broken::OtherBody)]);

    let own = of_body(HASH, outcome(&run(1), "own"));
    assert_eq!(whole().on_winner(&own, START), [finish(&own, "own")]);
}

#[test]
fn what_the_log_holds_of_another_body_is_not_taken_for_the_winners_text() {
    let mut follower = whole();
    follower.on_recorded(Some(&of_body("another", outcome(&run(1), "of another"))), START);
    follower.on_recorded(Some(&of_body(HASH, outcome(&run(1), "own"))), START);
    let winner = of_body(HASH, without_text(&run(1)));
    assert_eq!(follower.on_winner(&winner, START), [finish(&winner, "own")]);
}

#[test]
fn it_is_decided_once_the_winner_is_known_also_where_its_text_is_still_missing() {
    let mut follower = whole();
    follower.on_frame(piece(1, 0, "a"), START);
    assert!(!follower.is_decided());
    follower.on_winner(&without_text(&run(1)), START);
    assert!(follower.is_decided());
    follower.on_frame(last(1, 1, "a"), START);
    assert!(follower.has_ended() && follower.is_decided());
}

#[test]
fn a_winner_whose_run_was_read_whole_ends_it_at_once_with_or_without_its_text() {
    for winner in [outcome(&run(1), "a"), without_text(&run(1))] {
        let mut follower = whole();
        follower.on_frame(last(1, 1, "a"), START);
        follower.on_frame(piece(1, 0, "a"), START);
        assert_eq!(follower.on_winner(&winner, START), [finish(&winner, "a")]);
    }
}

/// The tables leave out what is not to be kept; the log is what the client waited for.
#[test]
fn a_client_is_told_its_end_in_the_words_of_the_log_where_the_tables_keep_none() {
    let said = Outcome {
        message: Some("the endpoint answered with status 400: not that".to_owned()),
        ..failed(Service::Scheduler)
    };
    let kept = Outcome {
        message: None,
        ..said.clone()
    };
    let mut follower = whole();
    follower.on_recorded(Some(&said), START);
    let steps = follower.on_winner(&kept, START);
    let [Step::Finish { end, .. }] = &steps[..] else {
        panic!("it ends: {steps:?}");
    };
    assert_eq!(end.message, said.message);
    let of_another_run = outcome(&run(2), "another");
    let mut follower = whole();
    follower.on_recorded(Some(&of_another_run), START);
    assert_eq!(follower.on_winner(&kept, START), [over(&kept)]);
}
