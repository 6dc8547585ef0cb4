//! Closing letters: once each, by one command at a time, and never without a line that says so.

use std::io::Write;

use relay_bus::header;
use relay_bus::testing::{FaultyBus, Mood};
use relay_bus::topics::{DEAD_LETTERS, OUTCOMES};
use relay_runner::{Standing, Winners};
use relay_schemas::{Registry, RequestId};
use serde_json::json;
use std::sync::Mutex;

use super::dead_letters::{dead, give_up, named, of_request, open, outcome};
use super::*;
use crate::topics::ask::{Places, Selection};
use crate::topics::letters::Scan;

fn every() -> Selection {
    Selection {
        every: true,
        ..Selection::default()
    }
}

/// As a group that remembers winners: it read nothing yet, and may read back what lay before.
fn winners(house: &House) -> Winners {
    Winners::new(house.keeper.bus.clone(), Arc::new(Registry::default()), 4_096)
}

#[tokio::test]
async fn an_outcome_that_can_be_read_since_wins_once_it_is_resent_and_again() {
    let house = House::new();
    let group = "relay.ingress.batch-results";
    let request = RequestId::new("request-1");
    let lost = dead(&house, outcome(of_request()), "an unknown schema", group).await;
    house.ask(Ask::Resend(named("0/0"))).await.expect("it is resent");
    let partition = lost.position.partition.partition;
    let again = house.held(OUTCOMES, partition).await.remove(1);
    assert_eq!(
        again.headers.text(header::RESENT_FROM),
        Some(format!("{OUTCOMES}/{partition}/0").as_str())
    );
    let standing = winners(&house).note(&request, &again).await;
    assert_eq!(standing.expect("the log is there"), Standing::Winner);

    // Given up once more: it still stands for the first.
    give_up(&house, &again, "the store refused it", group).await;
    let letter = open(&house).await.pop().expect("it is open");
    house
        .ask(Ask::Resend(named(&letter)))
        .await
        .expect("it is resent");
    let thrice = house.held(OUTCOMES, partition).await.remove(2);
    assert_eq!(thrice.first_offset(), lost.position.offset);
    let standing = winners(&house).note(&request, &thrice).await;
    assert_eq!(standing.expect("the log is there"), Standing::Winner);

    // A second outcome is one, whatever it says of other places.
    for from in [
        None,
        Some("relay.requests.v1/0/0"),
        Some("relay.outcomes.v1/9/0"),
        Some("nonsense"),
    ] {
        let mut headers = of_request();
        if let Some(from) = from {
            headers.set(header::RESENT_FROM, from);
        }
        let second = house.publish(vec![outcome(headers)]).await.remove(0);
        let held = house.held(OUTCOMES, partition).await;
        let second = held.iter().find(|record| record.position == second);
        let standing = winners(&house)
            .note(&request, second.expect("it lies there"))
            .await;
        assert_eq!(
            standing.expect("the log is there"),
            Standing::Superseded,
            "{from:?}"
        );
    }
}

#[tokio::test]
async fn two_commands_at_once_put_a_record_back_once() {
    let house = House::new();
    for partition in 0..3 {
        let mine = record("t", partition, b"k", "v");
        dead(&house, mine, "why", "somebody.else").await;
    }
    let both = tokio::join!(house.ask(Ask::Resend(every())), house.ask(Ask::Resend(every())));
    let (one, other) = (both.0.expect("an answer"), both.1.expect("an answer"));
    assert_eq!(one.len() + other.len(), 3, "{one:?} {other:?}");
    for partition in 0..3 {
        assert_eq!(house.held("t", partition).await.len(), 2);
    }
}

#[tokio::test]
async fn what_another_process_closed_meanwhile_is_seen() {
    let house = House::new();
    dead(&house, outcome(of_request()), "why", "relay.trace-sink").await;
    let registry = Registry::default();
    let mut letters = Scan::open(&*house.keeper.bus, &registry, every().into())
        .await
        .expect("it can be read");
    let letter = letters.next().await.expect("it can be read").expect("a letter");
    assert!(letter.closed.is_none());
    let before = letters
        .closed_meanwhile(letter.place)
        .await
        .expect("it can be read");
    assert!(before.is_none());
    house
        .ask(Ask::Discard(named("0/0")))
        .await
        .expect("it is discarded");
    let closed = letters
        .closed_meanwhile(letter.place)
        .await
        .expect("it can be read");
    assert_eq!(closed.expect("it is closed").how, "discarded");
}

#[tokio::test]
async fn a_letter_that_is_named_twice_is_closed_once() {
    let house = House::new();
    dead(&house, outcome(of_request()), "why", "relay.trace-sink").await;
    let place = "0/0".parse().expect("a place");
    let twice = Selection {
        named: Places(vec![place, place]),
        ..Selection::default()
    };
    let done = house.ask(Ask::Discard(twice)).await.expect("an answer");
    assert_eq!(done, [json!({"letter": "0/0", "did": "discarded"})]);
    assert_eq!(
        house.held(DEAD_LETTERS, 0).await.len(),
        2,
        "the letter and one closing"
    );
}

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("no writer panicked")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_record_that_was_put_back_is_told_of_though_its_letter_cannot_be_closed() {
    let house = House::new();
    let lost = dead(&house, outcome(of_request()), "why", "relay.trace-sink").await;
    let bus = FaultyBus::over(house.keeper.bus.clone()).only_for(DEAD_LETTERS);
    bus.be(Mood::Full);
    let keeper = Keeper::new(
        Arc::new(bus),
        house.keeper.manifest.clone(),
        house.keeper.clock.clone(),
    );
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let done = all(Arc::new(keeper).ask(Ask::Resend(named("0/0")), me())).await;
    drop(guard);
    done.expect_err("the log is full");
    assert_eq!(
        house
            .held(OUTCOMES, lost.position.partition.partition)
            .await
            .len(),
        2
    );
    assert_eq!(open(&house).await, ["0/0"]);
    let told = String::from_utf8(logged.0.lock().expect("no writer panicked").clone()).expect("text");
    assert!(
        told.contains("\"audit\"") && told.contains("dead letter resent") && told.contains("\"me\""),
        "{told}"
    );
}
