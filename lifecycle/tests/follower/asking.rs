//! When what is missing is asked for, and of whom.

use relay_lifecycle::{Broken, Follower, Patience, Step};
use relay_schemas::{Run, Service};

use crate::scene::{
    HASH, START, failed, frame, last, outcome, over, piece, run, show, show_end, streamed, wake, whole,
};

#[test]
fn a_last_frame_whose_winner_does_not_come_has_the_sink_asked() {
    let mut follower = whole();
    follower.on_frame(last(1, 0, ""), START);
    assert_eq!(follower.next_wakeup(), Some(START.plus_ms(50)));
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
    assert_eq!(wake(&mut follower), [Step::AskWinner], "again and again");
}

#[test]
fn a_record_that_need_not_be_the_first_has_the_sink_asked_once_it_may_have_folded_it() {
    let mut follower = whole();
    follower.on_recorded(None, START);
    assert_eq!(follower.next_wakeup(), Some(START.plus_ms(10)));
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
}

/// Neither the frames of a run that goes on, nor a fence, keep it from asking.
#[test]
fn the_sink_is_asked_until_it_answers_whatever_else_happens() {
    let mut follower = streamed();
    follower.on_recorded(None, START);
    let mut asked = 0;
    for seq in 0..40 {
        let now = START.plus_ms(i64::from(seq) * 20);
        follower.on_frame(piece(1, seq, "a"), now);
        follower.fence(0);
        asked += follower
            .on_wakeup(now)
            .iter()
            .filter(|step| **step == Step::AskWinner)
            .count();
    }
    assert!(asked >= 4, "{asked} questions in 800 ms");
}

#[test]
fn a_gap_is_asked_for_after_a_short_delay_the_worker_first_and_then_the_sink() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    follower.on_frame(piece(1, 2, "c"), START);
    assert_eq!(follower.next_wakeup(), Some(START.plus_ms(50)));
    let replay = Step::AskReplay {
        run: run(1),
        from_seq: 1,
    };
    assert_eq!(wake(&mut follower), [replay]);
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
    assert_eq!(follower.on_frame(piece(1, 1, "b"), START), show("bc"));
}

#[test]
fn a_lost_end_is_found_by_asking_the_sink_after_a_silence() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    assert_eq!(follower.next_wakeup(), Some(START.plus_ms(1_000)));
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
    let won = outcome(&run(1), "abc");
    assert_eq!(follower.on_winner(&won, START), [show_end("bc"), over(&won)]);
}

#[test]
fn silence_is_asked_about_less_and_less_often() {
    let mut follower = whole();
    let mut asked_at = Vec::new();
    for _ in 0..6 {
        asked_at.push(follower.next_wakeup().unwrap().since_ms(START));
        assert_eq!(wake(&mut follower), [Step::AskWinner]);
    }
    assert_eq!(asked_at, [1_000, 3_000, 7_000, 15_000, 23_000, 31_000]);
}

#[test]
fn after_a_loss_the_sink_and_the_worker_are_asked_in_turn() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    follower.on_lost(START);
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
    assert!(matches!(
        &wake(&mut follower)[..],
        [Step::AskReplay { from_seq: 1, .. }]
    ));
}

#[test]
fn a_client_is_not_kept_waiting_to_its_deadline_for_a_sink_that_cannot_tell() {
    let at = |ms: i64| START.plus_ms(ms);
    let patience = Patience {
        untold_ms: 500,
        ..Patience::default()
    };
    let follower = || Follower::new(patience, true, HASH, START);
    let mut silent = follower();
    silent.on_untold(at(300));
    silent.on_untold(at(700));
    assert!(silent.next_wakeup() <= Some(at(800)));
    assert!(silent.on_wakeup(at(799)).is_empty());
    assert_eq!(silent.on_wakeup(at(800)), [Step::Break(Broken::Untold)]);
    assert!(silent.has_ended());

    // What runs is no repeat of what has ended; and a sink that can tell again is believed.
    let mut running = follower();
    running.on_untold(at(300));
    running.on_frame(frame(&run(1), 0, "a", None), at(700));
    running.on_untold(at(750));
    running.on_unended();
    assert!(
        !running
            .on_wakeup(at(1_300))
            .contains(&Step::Break(Broken::Untold))
    );
    running.on_untold(at(1_310));
    let steps = running.on_winner(&failed(Service::Scheduler), at(1_400));
    assert!(matches!(steps[..], [Step::Finish { .. }]), "{steps:?}");
    assert!(running.on_wakeup(at(1_600)).is_empty());
}

/// Found by a rolling restart: a question that a sink did not answer as it ended was the last one before the client was told that
/// nothing can be told.
#[test]
fn after_a_long_silence_one_question_without_an_answer_is_asked_again_soon_and_not_believed() {
    let at = |ms: i64| START.plus_ms(ms);
    let mut follower = Follower::new(Patience::default(), true, HASH, START);
    for ms in [1_000, 3_000, 7_000] {
        assert_eq!(follower.on_wakeup(at(ms)), [Step::AskWinner]);
        follower.on_unended();
    }
    assert_eq!(follower.on_wakeup(at(15_000)), [Step::AskWinner]);
    follower.on_untold(at(15_500));
    assert_eq!(follower.next_wakeup(), Some(at(16_500)));
    assert_eq!(follower.on_wakeup(at(16_500)), [Step::AskWinner]);
    follower.on_unended();
    assert!(
        follower
            .on_wakeup(at(21_000))
            .iter()
            .all(|step| *step == Step::AskWinner)
    );
    assert!(!follower.has_ended());
}

/// Nothing else falls due meanwhile.
const CALM: Patience = Patience {
    gap_ms: 50,
    fold_ms: 10,
    silence_ms: 1_000_000,
    most_ms: 400,
    untold_ms: 1_000_000,
    replays: 2,
    ahead: 8,
};

/// When it asks next, from `START` on, and what.
fn questions(follower: &mut Follower, most: usize) -> Vec<(i64, Step)> {
    let mut asked = Vec::new();
    for _ in 0..most {
        let at = follower.next_wakeup().unwrap();
        let steps = follower.on_wakeup(at);
        asked.extend(steps.into_iter().map(|step| (at.since_ms(START), step)));
    }
    asked
}

#[test]
fn a_gap_that_nobody_fills_is_asked_about_less_and_less_often_and_never_given_up() {
    let mut follower = Follower::new(CALM, true, HASH, START);
    follower.on_frame(piece(1, 0, "a"), START);
    follower.on_frame(piece(1, 2, "c"), START);
    let replay = Step::AskReplay {
        run: run(1),
        from_seq: 1,
    };
    let asked = questions(&mut follower, 6);
    let times: Vec<i64> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [50, 100, 200, 400, 800, 1_200]);
    for two in asked.chunks(2) {
        assert_eq!((&two[0].1, &two[1].1), (&replay, &Step::AskWinner));
    }
}

#[test]
fn a_winner_that_the_sink_does_not_know_yet_is_asked_for_less_and_less_often() {
    let mut follower = Follower::new(CALM, true, HASH, START);
    follower.on_recorded(None, START);
    let expected = [10, 60, 160, 360, 760, 1_160].map(|at| (at, Step::AskWinner));
    assert_eq!(questions(&mut follower, 6), expected);
}

#[test]
fn each_frame_begins_the_silence_anew() {
    let at = |ms| START.plus_ms(ms);
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), at(500));
    assert_eq!(follower.next_wakeup(), Some(at(1_500)));
    assert_eq!(wake(&mut follower), [Step::AskWinner]);
    assert_eq!(follower.next_wakeup(), Some(at(3_500)));
    follower.on_frame(piece(1, 1, "b"), at(2_000));
    assert_eq!(follower.next_wakeup(), Some(at(3_000)));
}

#[test]
fn what_falls_due_together_is_asked_once() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 1, "b"), START);
    follower.on_recorded(None, START);
    let late = START.plus_ms(5_000);
    assert!(matches!(
        follower.on_wakeup(late)[..],
        [Step::AskReplay { .. }, Step::AskWinner]
    ));
    assert_eq!(follower.on_wakeup(late.plus_ms(5_000)), [Step::AskWinner]);
}

#[test]
fn no_worker_is_asked_for_frames_of_a_run_that_was_read_whole_or_is_no_workers() {
    let mut read_whole = whole();
    read_whole.on_frame(last(1, 0, ""), START);
    let cached = Run {
        service: Service::CacheService,
        ..run(1)
    };
    let mut hit = whole();
    hit.on_frame(frame(&cached, 0, "a", None), START);
    for mut follower in [read_whole, hit] {
        follower.on_lost(START);
        for _ in 0..4 {
            assert_eq!(wake(&mut follower), [Step::AskWinner]);
        }
    }
}
