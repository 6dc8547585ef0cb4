//! The cases. Each takes a seam whose listeners hold 16 messages and uses subjects of its own.

mod typed;
mod versions;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relay_control::{Control, ControlError, Delivery, Message, Subscription};
use relay_schemas::Payload;
pub use typed::{
    an_answer_of_the_wrong_kind_is_unreadable, an_outcome_finishes_its_run_in_frames_that_fit,
    served_questions_are_answered_side_by_side, typed_messages_arrive_and_garbage_counts_as_lost,
};

pub use versions::{
    messages_of_two_versions_are_read_both_ways, questions_of_two_versions_are_answered_both_ways,
};

use crate::CAPACITY;

/// Far above what anything here takes; only a broken seam reaches it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A subject that no other test, and no other run of it, uses.
pub fn subject(name: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("test.{}-{number}.{name}", std::process::id())
}

/// The seam connects in the background.
pub async fn until_reached(control: &dyn Control) {
    let reached = async {
        while control.probe().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

async fn next(listener: &mut Box<dyn Subscription>) -> Option<Delivery<Message>> {
    tokio::time::timeout(PATIENCE, listener.next())
        .await
        .expect("an event in time")
}

/// The next message; a loss on the way fails the test.
async fn message(listener: &mut Box<dyn Subscription>) -> Message {
    match next(listener).await {
        Some(Delivery::Message(message)) => message,
        other => panic!("a message was expected, not {other:?}"),
    }
}

async fn send(control: &dyn Control, subject: &str, text: &str) {
    control.send(subject, text.to_owned().into()).await.unwrap();
}

/// A listener and, sent after all else, the last word it will hear.
async fn heard_until(listener: &mut Box<dyn Subscription>, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8(message(listener).await.payload.to_vec()).unwrap();
        if text == last {
            return heard;
        }
        heard.push(text);
    }
}

pub async fn a_message_reaches_every_listener_in_order(control: Arc<dyn Control>) {
    let subject = subject("order");
    let mut one = control.subscribe(&subject, None).await.unwrap();
    let mut other = control.subscribe(&subject, None).await.unwrap();
    let sent: Vec<String> = (0..CAPACITY).map(|number| number.to_string()).collect();
    for text in &sent {
        send(&*control, &subject, text).await;
    }
    for listener in [&mut one, &mut other] {
        for text in &sent {
            let message = message(listener).await;
            assert_eq!(message.payload, text.as_bytes());
            assert_eq!(message.subject, subject);
            assert_eq!(message.answer_to, None);
        }
    }
}

pub async fn wildcards_hear_what_they_stand_for(control: Arc<dyn Control>) {
    let base = subject("wild");
    let cases = [
        (format!("{base}.a.b"), "a.b last"),
        (format!("{base}.*.b"), "a.b c.b last"),
        (format!("{base}.a.*"), "a.b a.c last"),
        (format!("{base}.*.*"), "a.b a.c c.b last"),
        (format!("{base}.>"), "a a.b a.c c.b a.b.c last"),
        (format!("{base}.a.>"), "a.b a.c a.b.c last"),
    ];
    let end = subject("end");
    for (pattern, expected) in cases {
        let mut listener = control.subscribe(&pattern, None).await.unwrap();
        for tail in ["a", "a.b", "a.c", "c.b", "a.b.c"] {
            send(&*control, &format!("{base}.{tail}"), tail).await;
        }
        send(&*control, &end, "nobody").await;
        // Matches every pattern that has two more tokens; the others are told by a message of their own kind.
        let last = pattern.replace('*', "z").replace('>', "z.z");
        send(&*control, &last, "last").await;
        let mut heard = heard_until(&mut listener, "last").await;
        heard.push("last".to_owned());
        assert_eq!(heard.join(" "), expected, "{pattern}");
    }
}

pub async fn a_queue_group_shares_its_messages(control: Arc<dyn Control>) {
    let subject = subject("group");
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(control.subscribe(&subject, Some("group")).await.unwrap());
    }
    let mut outsider = control.subscribe(&subject, None).await.unwrap();
    let mut other_group = control.subscribe(&subject, Some("other")).await.unwrap();
    let sent: HashSet<String> = (0..CAPACITY).map(|number| number.to_string()).collect();
    for text in &sent {
        send(&*control, &subject, text).await;
    }
    let mut heard = Vec::new();
    while heard.len() < sent.len() {
        let (first, rest) = members.split_at_mut(1);
        let (second, third) = rest.split_at_mut(1);
        let event = tokio::select! {
            event = first[0].next() => event,
            event = second[0].next() => event,
            event = third[0].next() => event,
            () = tokio::time::sleep(PATIENCE) => panic!("only {} of {} arrived", heard.len(), sent.len()),
        };
        let Some(Delivery::Message(message)) = event else {
            panic!("a message was expected, not {event:?}");
        };
        heard.push(String::from_utf8(message.payload.to_vec()).unwrap());
    }
    assert_eq!(heard.iter().cloned().collect::<HashSet<_>>(), sent, "each once");
    for listener in [&mut outsider, &mut other_group] {
        for _ in &sent {
            message(listener).await;
        }
    }
}

pub async fn a_message_nobody_listens_to_is_no_error(control: Arc<dyn Control>) {
    send(&*control, &subject("nobody"), "hello").await;
}

/// Answers every question with itself and `!`.
async fn echo(control: &Arc<dyn Control>, subject: &str) -> tokio::task::JoinHandle<()> {
    let mut questions = control.subscribe(subject, None).await.unwrap();
    let control = Arc::clone(control);
    tokio::spawn(async move {
        while let Some(event) = questions.next().await {
            if let Delivery::Message(message) = event {
                let answer = [&message.payload[..], b"!"].concat();
                let answer_to = message.answer_to.unwrap();
                control.send(&answer_to, answer.into()).await.unwrap();
            }
        }
    })
}

pub async fn a_question_gets_its_answer(control: Arc<dyn Control>) {
    let subject = subject("ask");
    let answering = echo(&control, &subject).await;
    let answer = control.request(&subject, "hello".into(), PATIENCE).await.unwrap();
    assert_eq!(answer, "hello!".as_bytes());
    answering.abort();
}

pub async fn many_questions_at_once_get_their_own_answers(control: Arc<dyn Control>) {
    let subject = subject("ask-many");
    let answering = echo(&control, &subject).await;
    let asking = (0..CAPACITY).map(|number| {
        let (control, subject) = (Arc::clone(&control), subject.clone());
        tokio::spawn(async move {
            let answer = control
                .request(&subject, number.to_string().into(), PATIENCE)
                .await;
            assert_eq!(answer.unwrap(), format!("{number}!").as_bytes());
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
    answering.abort();
}

pub async fn a_question_without_anyone_to_answer_says_so_at_once(control: Arc<dyn Control>) {
    let subject = subject("nobody-answers");
    let asked = tokio::time::timeout(PATIENCE, control.request(&subject, "?".into(), PATIENCE * 10));
    match asked.await.expect("long before the question's own timeout") {
        Err(ControlError::NoResponder(named)) => assert_eq!(named, subject),
        other => panic!("{other:?}"),
    }
}

pub async fn a_question_nobody_answers_times_out(control: Arc<dyn Control>) {
    let subject = subject("silent");
    let mut silent = control.subscribe(&subject, None).await.unwrap();
    let asked = control
        .request(&subject, "?".into(), Duration::from_millis(50))
        .await;
    match asked {
        Err(ControlError::Timeout {
            subject: named,
            waited_ms,
        }) => assert_eq!((named, waited_ms), (subject, 50)),
        other => panic!("{other:?}"),
    }
    let late = message(&mut silent).await.answer_to.unwrap();
    send(&*control, &late, "too late, and no error").await;
}

pub async fn a_message_at_the_limit_passes_and_one_over_it_is_refused(control: Arc<dyn Control>) {
    let subject = subject("large");
    let mut listener = control.subscribe(&subject, None).await.unwrap();
    let limit = control.max_payload();
    control.send(&subject, vec![7; limit].into()).await.unwrap();
    assert_eq!(message(&mut listener).await.payload.len(), limit);
    let too_large: Payload = vec![7; limit + 1].into();
    let refused = control.send(&subject, too_large.clone()).await;
    assert!(
        matches!(refused, Err(ControlError::TooLarge { size, limit: of }) if size == limit + 1 && of == limit),
        "{refused:?}"
    );
    let refused = control.request(&subject, too_large, PATIENCE).await;
    assert!(
        matches!(refused, Err(ControlError::TooLarge { .. })),
        "{refused:?}"
    );
    send(&*control, &subject, "the seam still works").await;
    assert_eq!(
        message(&mut listener).await.payload,
        "the seam still works".as_bytes()
    );
}

pub async fn a_slow_listener_keeps_the_oldest_and_is_told_of_the_loss(control: Arc<dyn Control>) {
    let subject = subject("slow");
    let mut slow = control.subscribe(&subject, None).await.unwrap();
    let mut quick = control.subscribe(&subject, None).await.unwrap();
    for number in 0..3 * CAPACITY {
        send(&*control, &subject, &number.to_string()).await;
        // Both hear it before the next is sent, so that what is lost is lost in the slow one's own queue.
        assert_eq!(message(&mut quick).await.payload, number.to_string().as_bytes());
    }
    until_reached(&*control).await;
    for number in 0..CAPACITY {
        assert_eq!(message(&mut slow).await.payload, number.to_string().as_bytes());
    }
    assert!(
        matches!(next(&mut slow).await, Some(Delivery::Lost)),
        "one mark for the whole gap"
    );
    send(&*control, &subject, "after").await;
    assert_eq!(message(&mut slow).await.payload, "after".as_bytes());
}

pub async fn a_dropped_listener_hears_nothing_and_harms_nobody(control: Arc<dyn Control>) {
    let subject = subject("dropped");
    let dropped = control.subscribe(&subject, None).await.unwrap();
    let mut kept = control.subscribe(&subject, None).await.unwrap();
    drop(dropped);
    send(&*control, &subject, "hello").await;
    assert_eq!(message(&mut kept).await.payload, "hello".as_bytes());
    drop(kept);
    // Once the seam has noticed, nobody is left to answer.
    let gone = async {
        while !matches!(
            control
                .request(&subject, "?".into(), Duration::from_millis(50))
                .await,
            Err(ControlError::NoResponder(_))
        ) {}
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

pub async fn waiting_can_be_given_up_and_begun_again(control: Arc<dyn Control>) {
    let subject = subject("give-up");
    let mut listener = control.subscribe(&subject, None).await.unwrap();
    for number in 0..CAPACITY {
        let waited = tokio::time::timeout(Duration::from_millis(1), listener.next()).await;
        assert!(waited.is_err());
        send(&*control, &subject, &number.to_string()).await;
        assert_eq!(
            message(&mut listener).await.payload,
            number.to_string().as_bytes()
        );
    }
}

pub async fn listeners_end_with_the_seam(control: Arc<dyn Control>) {
    let subject = subject("end");
    let mut listener = control.subscribe(&subject, None).await.unwrap();
    send(&*control, &subject, "hello").await;
    assert_eq!(message(&mut listener).await.payload, "hello".as_bytes());
    drop(control);
    assert!(next(&mut listener).await.is_none());
}

pub async fn the_seam_can_be_probed(control: Arc<dyn Control>) {
    control.probe().await.unwrap();
}
