//! What a simulated seam can do to a process: each fault, and what is told of it. Time is tokio's, and passes by itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use relay_clock::{Clock, Life, Passing};
use relay_control::simulated::{Faults, ProcessControl, SimulatedSeam};
use relay_control::{Control, ControlError, Delivery, InProcessOptions, Message, Subscription};
use relay_schemas::TimestampMs;
use tokio::time::{Instant, timeout};

/// Nothing under simulation takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Paused(Instant);

impl Passing for Paused {
    fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

fn seam(seed: u64) -> SimulatedSeam {
    let clock = Clock::driven(TimestampMs(1_000), Paused(Instant::now()));
    SimulatedSeam::new(InProcessOptions::default(), clock, seed)
}

fn alive(seam: &SimulatedSeam, name: &str) -> ProcessControl {
    seam.process(name, Arc::default())
}

async fn send(process: &ProcessControl, text: &str) {
    process.send("s", text.to_owned().into()).await.unwrap();
}

fn text(delivery: Option<Delivery<Message>>) -> String {
    match delivery.expect("the seam is open") {
        Delivery::Message(message) => {
            assert_eq!(message.subject, "s");
            String::from_utf8(message.payload.to_vec()).unwrap()
        }
        Delivery::Lost => "LOST".to_owned(),
    }
}

/// What comes, until nothing does any more.
async fn heard(listener: &mut Box<dyn Subscription>) -> Vec<String> {
    let mut heard = Vec::new();
    while let Ok(delivery) = timeout(PATIENCE, listener.next()).await {
        heard.push(text(delivery));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_is_told_before_the_next_one() {
    let seam = seam(1);
    let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    let lossy = Faults {
        lost: 1_000,
        ..Faults::default()
    };
    send(&sender, "one").await;
    assert_eq!(heard(&mut listener).await, ["one"]);
    seam.disturb("receiver", lossy);
    send(&sender, "two").await;
    assert_eq!(heard(&mut listener).await, ["LOST"]);
    seam.disturb("receiver", Faults::default());
    send(&sender, "three").await;
    assert_eq!(heard(&mut listener).await, ["three"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_message_takes_no_longer_than_it_may() {
    let seam = seam(2);
    let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    let delay = Duration::from_millis(200);
    let slow = Faults {
        delay,
        ..Faults::default()
    };
    seam.disturb("receiver", slow);
    let mut took = Vec::new();
    for number in 0..20 {
        let began = Instant::now();
        send(&sender, &number.to_string()).await;
        assert_eq!(text(listener.next().await), number.to_string());
        took.push(began.elapsed());
    }
    assert!(took.iter().all(|took| *took <= delay), "{took:?}");
    assert!(took.iter().any(|took| *took > delay / 4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn how_late_a_message_is_counts_from_its_sending_however_long_its_listener_does_not_look() {
    let seam = seam(2);
    let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    let delay = Duration::from_millis(200);
    let slow = Faults {
        delay,
        ..Faults::default()
    };
    seam.disturb("receiver", slow);
    for _ in 0..20 {
        send(&sender, "late").await;
        tokio::time::sleep(delay).await;
        let looks = Instant::now();
        assert_eq!(text(listener.next().await), "late");
        assert_eq!(looks.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_has_the_fate_of_the_moment_in_which_it_was_sent_whoever_looks_first() {
    let mut all_heard = Vec::new();
    for first in [0, 1] {
        let seam = seam(12);
        let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
        let mut listeners = [
            receiver.subscribe("s", None).await.unwrap(),
            receiver.subscribe("s", None).await.unwrap(),
        ];
        let lossy = Faults {
            lost: 500,
            ..Faults::default()
        };
        seam.disturb("receiver", lossy);
        for number in 0..20 {
            send(&sender, &number.to_string()).await;
        }
        seam.disturb("receiver", Faults::default());
        let one = heard(&mut listeners[first]).await;
        let other = heard(&mut listeners[1 - first]).await;
        assert!(one.contains(&"LOST".to_owned()), "{one:?}");
        assert_ne!(one, other);
        all_heard.push(if first == 0 { [one, other] } else { [other, one] });
    }
    assert_eq!(all_heard[0], all_heard[1]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_room_hears_one_message_and_that_others_are_missing() {
    let clock = Clock::driven(TimestampMs(1_000), Paused(Instant::now()));
    let narrow = InProcessOptions {
        capacity: 0,
        ..InProcessOptions::default()
    };
    let seam = SimulatedSeam::new(narrow, clock, 1);
    let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    assert_eq!(heard(&mut listener).await, [""; 0]);
    send(&sender, "one").await;
    send(&sender, "two").await;
    assert_eq!(heard(&mut listener).await, ["one", "LOST"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_does_so_before_the_next_one_of_its_sender() {
    let seam = seam(3);
    let (sender, receiver) = (alive(&seam, "sender"), alive(&seam, "receiver"));
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    let echoes = Faults {
        twice: 1_000,
        delay: Duration::from_millis(50),
        overtakes: true,
        ..Faults::default()
    };
    seam.disturb("receiver", echoes);
    send(&sender, "one").await;
    send(&sender, "two").await;
    assert_eq!(heard(&mut listener).await, ["one", "one", "two", "two"]);
}

/// What is heard of two senders who take turns.
async fn of_two(seed: u64, overtakes: bool) -> Vec<String> {
    let seam = seam(seed);
    let (one, other, receiver) = (
        alive(&seam, "one"),
        alive(&seam, "other"),
        alive(&seam, "receiver"),
    );
    let mut listener = receiver.subscribe("s", None).await.unwrap();
    let shuffled = Faults {
        delay: Duration::from_millis(50),
        overtakes,
        ..Faults::default()
    };
    seam.disturb("receiver", shuffled);
    for number in 0..20 {
        send(&one, &format!("one {number:02}")).await;
        send(&other, &format!("other {number:02}")).await;
    }
    heard(&mut listener).await
}

#[tokio::test(start_paused = true)]
async fn only_messages_of_different_senders_overtake_one_another_and_only_where_they_may() {
    let sent: Vec<String> = (0..20)
        .flat_map(|number| [format!("one {number:02}"), format!("other {number:02}")])
        .collect();
    assert_eq!(of_two(4, false).await, sent);
    let overtaken = of_two(4, true).await;
    assert_ne!(overtaken, sent);
    for sender in ["one", "other"] {
        let of_sender = |texts: &[String]| -> Vec<String> {
            let texts = texts.iter();
            texts.filter(|text| text.starts_with(sender)).cloned().collect()
        };
        assert_eq!(of_sender(&overtaken), of_sender(&sent));
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_fate_and_another_one_is_another() {
    assert_eq!(of_two(5, true).await, of_two(5, true).await);
    assert_ne!(of_two(5, true).await, of_two(6, true).await);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_cut_off_reaches_nobody_and_is_told_once_it_is_back() {
    let seam = seam(7);
    let (here, away) = (alive(&seam, "here"), alive(&seam, "away"));
    let mut listener = away.subscribe("s", None).await.unwrap();
    let mut shared = away.subscribe("s", Some("group")).await.unwrap();
    let mut other = here.subscribe("s", Some("group")).await.unwrap();
    let mut at_home = here.subscribe("s", None).await.unwrap();

    seam.cut_off("away");
    let mut later = away.subscribe("s", None).await.unwrap();
    for refused in [
        away.send("s", "?".into()).await,
        away.request("s", "?".into(), PATIENCE).await.map(drop),
        away.probe().await,
    ] {
        assert!(
            matches!(refused, Err(ControlError::Unavailable(_))),
            "{refused:?}"
        );
    }
    here.probe().await.unwrap();
    // A group goes on with those who are there.
    send(&here, "missed").await;
    send(&here, "too").await;
    assert_eq!(heard(&mut other).await, ["missed", "too"]);
    assert_eq!(heard(&mut at_home).await, ["missed", "too"]);
    drop((other, at_home));
    let asked = here.request("s", "?".into(), PATIENCE).await;
    assert!(matches!(asked, Err(ControlError::NoResponder(_))), "{asked:?}");

    seam.reconnect("away");
    send(&here, "again").await;
    for listener in [&mut listener, &mut shared, &mut later] {
        assert_eq!(heard(listener).await, ["LOST", "again"]);
    }
    away.probe().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_its_process_is_cut_off_is_lost_and_what_has_arrived_is_not() {
    let seam = seam(13);
    let (here, away) = (alive(&seam, "here"), alive(&seam, "away"));
    let mut listener = away.subscribe("s", None).await.unwrap();
    send(&here, "arrived").await;
    let slow = Faults {
        delay: Duration::from_secs(1),
        ..Faults::default()
    };
    seam.disturb("away", slow);
    for _ in 0..20 {
        send(&here, "on its way").await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    seam.cut_off("away");
    assert_eq!(heard(&mut listener).await, ["arrived"]);
    seam.reconnect("away");
    assert_eq!(heard(&mut listener).await, ["LOST"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_whose_process_stood_still_takes_the_answer_that_came_meanwhile() {
    let seam = seam(14);
    let life = Arc::new(Life::default());
    let (curious, other) = (seam.process("asker", Arc::clone(&life)), alive(&seam, "other"));
    let mut questions = other.subscribe("s", None).await.unwrap();
    let asked = tokio::spawn(async move {
        let patience = Duration::from_millis(50);
        curious.request("s", "?".into(), patience).await
    });
    let Some(Delivery::Message(question)) = questions.next().await else {
        panic!("no question");
    };
    life.freeze();
    other
        .send(&question.answer_to.unwrap(), "yes".into())
        .await
        .unwrap();
    tokio::time::sleep(PATIENCE).await;
    life.thaw();
    assert_eq!(asked.await.unwrap().unwrap(), "yes".as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_takes_all_of_its_time_whether_it_is_heard_or_not() {
    let seam = seam(8);
    let (curious, other) = (alive(&seam, "asker"), Arc::new(alive(&seam, "other")));
    let mut questions = other.subscribe("s", None).await.unwrap();
    let answering = Arc::clone(&other);
    let answered = tokio::spawn(async move {
        let mut answered = 0;
        while let Ok(Some(Delivery::Message(question))) = timeout(PATIENCE, questions.next()).await {
            let answer_to = question.answer_to.unwrap();
            answering.send(&answer_to, "yes".into()).await.unwrap();
            answered += 1;
        }
        answered
    });
    let answer = curious.request("s", "?".into(), PATIENCE).await.unwrap();
    assert_eq!(answer, "yes".as_bytes());
    let deaf = Faults {
        unanswered: 1_000,
        ..Faults::default()
    };
    seam.disturb("asker", deaf);
    for _ in 0..20 {
        let began = Instant::now();
        let patience = Duration::from_millis(50);
        let asked = curious.request("s", "?".into(), patience).await;
        assert!(matches!(asked, Err(ControlError::Timeout { .. })), "{asked:?}");
        assert!(began.elapsed() >= patience);
    }
    let answered = answered.await.unwrap();
    assert!(answered > 1 && answered < 21, "{answered} of 21 were heard");
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_says_and_hears_nothing_and_its_place_in_a_group_is_free() {
    let seam = seam(9);
    let life = Arc::new(Life::default());
    let (dead, other) = (seam.process("dead", Arc::clone(&life)), alive(&seam, "other"));
    let mut listener = dead.subscribe("s", Some("group")).await.unwrap();
    let mut kept = other.subscribe("s", Some("group")).await.unwrap();
    let mut questions = dead.subscribe("q", None).await.unwrap();
    let question = tokio::spawn(async move { questions.next().await.map(|_| ()) });
    life.kill();
    assert!(timeout(PATIENCE, dead.send("s", "late".into())).await.is_err());
    assert!(timeout(PATIENCE, dead.probe()).await.is_err());
    for _ in 0..4 {
        send(&other, "hello").await;
    }
    assert_eq!(heard(&mut kept).await, ["hello"; 4]);
    assert!(timeout(PATIENCE, listener.next()).await.is_err());
    let asked = other.request("q", "?".into(), PATIENCE).await;
    assert!(matches!(asked, Err(ControlError::NoResponder(_))), "{asked:?}");
    assert!(timeout(PATIENCE, question).await.is_err());

    let again = alive(&seam, "dead");
    let mut listener = again.subscribe("t", None).await.unwrap();
    other.send("t", "hello".into()).await.unwrap();
    assert!(matches!(listener.next().await, Some(Delivery::Message(_))));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_process_hears_all_of_it_once_it_thaws() {
    let seam = seam(10);
    let life = Arc::new(Life::default());
    let (frozen, other) = (seam.process("frozen", Arc::clone(&life)), alive(&seam, "other"));
    let mut listener = frozen.subscribe("s", None).await.unwrap();
    life.freeze();
    for text in ["one", "two", "three"] {
        send(&other, text).await;
    }
    assert_eq!(heard(&mut listener).await, [""; 0]);
    life.thaw();
    assert_eq!(heard(&mut listener).await, ["one", "two", "three"]);
}
