//! The follower: case by case, and under any loss, repetition and reordering.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use proptest::prelude::*;
use relay_lifecycle::{Broken, Follower, Patience, Step, Transcript, final_of};
use relay_schemas::{
    Answer, Delta, Final, FinishReason, Frame, Outcome, OutcomeStatus, Request, Run, Service, TimestampMs,
    TokenCount, ToolCallDelta, Usage, samples,
};

const START: TimestampMs = TimestampMs(1_000);
/// Of the body that the client asked for.
const HASH: &str = "own";

fn run(attempt: u32) -> Run {
    Run {
        service: Service::Workers,
        instance: "w".into(),
        epoch: 1,
        attempt,
    }
}

fn outcome(run: &Run, text: &str) -> Outcome {
    Outcome {
        request_id: "r".into(),
        run: run.clone(),
        answer: Some(Answer {
            model: format!("model-{}", run.attempt),
            ..samples::answer(text)
        }),
        usage: Usage {
            prompt_tokens: TokenCount(3),
            completion_tokens: TokenCount(run.attempt),
        },
        request: None,
        ..samples::outcome()
    }
}

fn without_text(run: &Run) -> Outcome {
    let mut outcome = outcome(run, "");
    outcome.answer.as_mut().unwrap().drop_content();
    outcome
}

fn failed(service: Service) -> Outcome {
    let scheduler = Run {
        service,
        instance: "s".into(),
        epoch: 1,
        attempt: 1,
    };
    Outcome {
        status: OutcomeStatus::Failed,
        code: Some("worker_lost".to_owned()),
        answer: None,
        ..outcome(&scheduler, "")
    }
}

fn frame(run: &Run, seq: u32, text: &str, end: Option<Final>) -> Frame {
    Frame {
        request_id: "r".into(),
        run: run.clone(),
        seq,
        deltas: samples::deltas(text),
        embeddings: Vec::new(),
        tokens: TokenCount(seq),
        end,
    }
}

fn piece(attempt: u32, seq: u32, text: &str) -> Frame {
    frame(&run(attempt), seq, text, None)
}

fn last(attempt: u32, seq: u32, whole: &str) -> Frame {
    let run = run(attempt);
    let end = final_of(&outcome(&run, whole));
    Frame {
        deltas: vec![ended()],
        ..frame(&run, seq, "", Some(end))
    }
}

fn streamed() -> Follower {
    Follower::new(Patience::default(), true, HASH, START)
}

fn whole() -> Follower {
    Follower::new(Patience::default(), false, HASH, START)
}

/// Why the choice ended.
fn ended() -> Delta {
    Delta::finish(0, FinishReason::Stop)
}

/// `text` and the end behind it.
fn content(text: &str) -> Transcript {
    Transcript::of(&samples::answer(text))
}

fn show(text: &str) -> Vec<Step> {
    vec![Step::Show(samples::deltas(text))]
}

/// The client gets `rest` and the end behind it.
fn show_end(rest: &str) -> Step {
    let delta = Delta {
        text: rest.to_owned(),
        ..ended()
    };
    Step::Show(vec![delta])
}

/// A streamed answer is over.
fn over(outcome: &Outcome) -> Step {
    Step::Finish {
        end: final_of(outcome),
        content: Transcript::default(),
    }
}

/// The whole of an answer that was not streamed.
fn finish(outcome: &Outcome, text: &str) -> Step {
    Step::Finish {
        end: final_of(outcome),
        content: content(text),
    }
}

/// Lets time pass to the next wakeup.
fn wake(follower: &mut Follower) -> Vec<Step> {
    let at = follower.next_wakeup().expect("it has not ended");
    follower.on_wakeup(at)
}

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
    assert!(!follower.saw_token());
    let won = outcome(&run(1), "a");
    assert_eq!(follower.on_winner(&won, START), [finish(&won, "a")]);
}

#[test]
fn a_winner_that_comes_before_the_last_frames_brings_their_text() {
    let mut follower = streamed();
    follower.on_frame(piece(1, 0, "a"), START);
    let won = outcome(&run(1), "abc");
    assert_eq!(follower.on_winner(&won, START), [show_end("bc"), over(&won)]);
}

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
    untold.answer.as_mut().unwrap().drop_content();
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
fn a_record_behind_the_winner_changes_nothing() {
    let mut follower = whole();
    assert_eq!(follower.on_winner(&without_text(&run(1)), START), []);
    assert_eq!(follower.on_winner(&outcome(&run(2), "x"), START), []);
    follower.on_recorded(None, START);
    follower.on_frame(piece(1, 0, "long"), START);
    assert_eq!(
        follower.on_frame(last(1, 1, "long"), START),
        [finish(&without_text(&run(1)), "long")]
    );
}

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
    while !follower.has_ended() {
        steps = wake(&mut follower);
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
            let asked = loop {
                let steps = wake(&mut follower);
                if !steps.is_empty() {
                    break steps;
                }
            };
            let replay = Step::AskReplay {
                run: run(1),
                from_seq: seq,
            };
            assert_eq!(asked, [replay]);
            let now = follower.next_wakeup().unwrap();
            follower.on_frame(piece(1, seq, "x"), now);
        }
        let text = "x".repeat(REPLAYS as usize);
        follower.on_frame(last(1, REPLAYS, &text), START);
        assert!(follower.has_ended());
    }
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

/// What the network does next.
#[derive(Debug, Clone, Copy)]
enum Weather {
    Deliver(prop::sample::Index),
    Drop(prop::sample::Index),
    Repeat(prop::sample::Index),
    Lost,
    Wait,
    Fence,
    SinkKnows,
    LogBringsIt,
}

fn weather() -> impl Strategy<Value = Weather> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        8 => at().prop_map(Weather::Deliver),
        2 => at().prop_map(Weather::Drop),
        2 => at().prop_map(Weather::Repeat),
        1 => Just(Weather::Lost),
        3 => Just(Weather::Wait),
        1 => Just(Weather::Fence),
        1 => Just(Weather::SinkKnows),
        1 => Just(Weather::LogBringsIt),
    ]
}

/// A client, the sink and the network around one follower.
struct World {
    follower: Follower,
    now: TimestampMs,
    streamed: bool,
    winner: Outcome,
    sink_knows: bool,
    replays: Vec<(Run, Vec<Frame>)>,
    shown: Transcript,
    end: Option<Result<(Final, Transcript), Broken>>,
}

impl World {
    fn take(&mut self, steps: Vec<Step>) {
        for step in steps {
            assert!(self.end.is_none(), "something followed the end");
            match step {
                Step::Show(deltas) => {
                    assert!(self.streamed, "a piece of an answer that leaves as a whole");
                    for delta in &deltas {
                        self.shown.apply_delta(delta);
                    }
                }
                Step::Finish { end, content } => self.end = Some(Ok((end, content))),
                Step::Break(broken) => self.end = Some(Err(broken)),
                Step::AskWinner => {
                    if self.sink_knows {
                        self.tell_winner();
                    }
                }
                Step::AskReplay { run, from_seq } => {
                    let held = self.replays.iter().find(|(held, _)| *held == run);
                    let frames = held.map(|(_, frames)| frames[from_seq as usize..].to_vec());
                    for frame in frames.unwrap_or_default() {
                        let steps = self.follower.on_frame(frame, self.now);
                        self.take(steps);
                    }
                }
            }
        }
    }

    fn tell_winner(&mut self) {
        let steps = self.follower.on_winner(&self.winner, self.now);
        self.take(steps);
    }

    fn wake(&mut self) {
        if let Some(at) = self.follower.next_wakeup() {
            self.now = at.max(self.now);
            let steps = self.follower.on_wakeup(self.now);
            self.take(steps);
        }
    }

    fn deliver(&mut self, frame: Frame) {
        let steps = self.follower.on_frame(frame, self.now);
        self.take(steps);
    }
}

fn frames(attempt: u32, pieces: &[String]) -> Vec<Frame> {
    let whole = pieces.concat();
    let mut frames: Vec<Frame> = (0..)
        .zip(pieces)
        .map(|(seq, text)| piece(attempt, seq, text))
        .collect();
    frames.push(last(attempt, frames.len() as u32, &whole));
    frames
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Two runs send whatever they like, in any order; nobody is fenced in time.
    #[test]
    fn what_a_client_sees_finish_is_what_the_record_says(
        pieces in prop::collection::vec("[a-zä😀]{0,3}", 0..8),
        rival in prop::collection::vec("[a-zä😀]{0,3}", 0..8),
        second_wins in any::<bool>(),
        text_dropped in prop::bool::weighted(0.2),
        worker_replays in any::<bool>(),
        streamed in any::<bool>(),
        events in prop::collection::vec(weather(), 0..60),
    ) {
        let first = frames(1, &pieces);
        let second = frames(2, &rival);
        let (winning, text) = if second_wins { (run(2), rival.concat()) } else { (run(1), pieces.concat()) };
        let mut winner = if text_dropped { without_text(&winning) } else { outcome(&winning, &text) };
        winner.answer.as_mut().unwrap().model = format!("model-{}", winning.attempt);
        let replays = if worker_replays { vec![(run(1), first.clone()), (run(2), second.clone())] } else { Vec::new() };
        let mut world = World {
            follower: Follower::new(Patience::default(), streamed, HASH, START),
            now: START,
            streamed,
            winner,
            sink_knows: false,
            replays,
            shown: Transcript::default(),
            end: None,
        };
        let mut network = [first, second].concat();
        for event in events {
            if world.end.is_some() {
                break;
            }
            match event {
                Weather::Deliver(at) if !network.is_empty() => {
                    let frame = network.remove(at.index(network.len()));
                    world.deliver(frame);
                }
                Weather::Repeat(at) if !network.is_empty() => world.deliver(network[at.index(network.len())].clone()),
                Weather::Drop(at) if !network.is_empty() => drop(network.remove(at.index(network.len()))),
                Weather::Lost => world.follower.on_lost(world.now),
                Weather::Wait => world.wake(),
                Weather::Fence => {
                    let saw = world.follower.fence(1);
                    prop_assert_eq!(saw, !world.shown.is_empty());
                }
                Weather::SinkKnows => world.sink_knows = true,
                Weather::LogBringsIt => world.tell_winner(),
                _ => {}
            }
        }
        // At last the sink knows, and time passes: it ends.
        world.sink_knows = true;
        for _ in 0..64 {
            world.wake();
        }
        match world.end.take().expect("it ends once the sink knows") {
            Ok((end, rest)) => {
                prop_assert_eq!(end, final_of(&world.winner));
                let seen = if streamed { &world.shown } else { &rest };
                prop_assert_eq!(seen, &content(&text));
            }
            Err(Broken::Diverged) => prop_assert!(!world.shown.is_empty(), "only what was shown can diverge"),
            Err(Broken::Unavailable) => prop_assert!(text_dropped, "a recorded text is always there"),
            Err(Broken::Untold) => unreachable!("this sink tells, or is not heard"),
            Err(Broken::OtherBody) => unreachable!("there is one body"),
        }
    }
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
    assert!(follower.saw_token());
    let mut won = outcome(&run(1), "");
    let message = &mut won.answer.as_mut().unwrap().choices[0].message;
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
    assert!(!running.on_wakeup(at(900)).contains(&Step::Break(Broken::Untold)));
    running.on_untold(at(1_000));
    let steps = running.on_winner(&failed(Service::Scheduler), at(1_400));
    assert!(matches!(steps[..], [Step::Finish { .. }]), "{steps:?}");
    assert!(running.on_wakeup(at(1_600)).is_empty());
}

fn of_body(request_hash: &str, outcome: Outcome) -> Outcome {
    let request = Request {
        request_hash: request_hash.to_owned(),
        ..samples::request()
    };
    Outcome {
        request: Some(request),
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
