//! A text too large for its record is collected from its worker.

use relay_lifecycle::{Broken, Patience, Step};

use crate::scene::{START, finish, last, piece, run, streamed, wake, whole, without_text};

#[test]
fn a_text_too_large_for_the_record_is_collected_from_the_worker_or_given_up() {
    let won = without_text(&run(1));
    let mut follower = whole();
    assert_eq!(follower.on_winner(&won, START), []);
    let replay = Step::AskReplay {
        run: run(1),
        from_seq: 0,
    };
    assert_eq!(wake(&mut follower), [replay]);
    follower.on_frame(piece(1, 0, "long"), START);
    assert_eq!(
        follower.on_frame(last(1, 1, "long"), START),
        [finish(&won, "long")]
    );

    let mut follower = whole();
    follower.on_winner(&won, START);
    let mut steps = Vec::new();
    for _ in 0..Patience::default().replays + 2 {
        if !follower.has_ended() {
            steps = wake(&mut follower);
        }
    }
    assert_eq!(steps, [Step::Break(Broken::Unavailable)]);
}

/// By reading: an answer too long for the replays that are asked for in vain was given up in the middle.
#[test]
fn an_answer_that_gets_on_is_collected_in_as_many_replays_as_it_takes() {
    const REPLAYS: u32 = 40;
    let won = without_text(&run(1));
    for mut follower in [streamed(), whole()] {
        follower.on_winner(&won, START);
        for seq in 0..REPLAYS {
            let asked = (0..2)
                .map(|_| wake(&mut follower))
                .find(|steps| !steps.is_empty());
            let replay = Step::AskReplay {
                run: run(1),
                from_seq: seq,
            };
            assert_eq!(asked, Some(vec![replay]));
            let now = follower.next_wakeup().unwrap();
            follower.on_frame(piece(1, seq, "x"), now);
        }
        let text = "x".repeat(REPLAYS as usize);
        follower.on_frame(last(1, REPLAYS, &text), START);
        assert!(follower.has_ended());
    }
}

#[test]
fn a_text_is_collected_whether_or_not_the_sink_could_tell_before() {
    let at = |ms| START.plus_ms(ms);
    let untold_ms = Patience::default().untold_ms;
    let mut follower = whole();
    follower.on_untold(at(0));
    follower.on_winner(&without_text(&run(1)), at(10));
    follower.on_untold(at(20));
    let steps = follower.on_wakeup(at(20 + untold_ms));
    assert!(matches!(steps[..], [Step::AskReplay { .. }]), "{steps:?}");
}
