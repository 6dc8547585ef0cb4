//! Under any loss, repetition and reordering, what a client sees finish is what the record says.

use std::sync::Arc;

use proptest::prelude::*;
use relay_lifecycle::{Broken, Follower, Patience, Step, Transcript, final_of};
use relay_schemas::{Final, Frame, Outcome, Run, TimestampMs};

use crate::scene::{HASH, START, content, last, outcome, piece, run, without_text};

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
        Arc::make_mut(winner.answer.as_mut().unwrap()).model = format!("model-{}", winning.attempt);
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
