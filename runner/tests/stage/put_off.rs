//! Records whose turn has not come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use relay_bus::topics::DEAD_LETTERS;
use relay_bus::{Partition, Position, Record};
use relay_runner::{Stage, StageError, StageOptions, Step, run_stage};
use relay_schemas::DeadLetter;
use tokio::sync::Notify;

use crate::bench::{Bench, IN, OUT, ended, onward, text, texts, until};

/// Puts off what begins with `late`, until it is told to go on.
#[derive(Default)]
struct Later {
    waiting: Mutex<Vec<Position>>,
    recalled: Mutex<BTreeSet<Position>>,
    go_on: Notify,
}

#[async_trait]
impl Stage for Later {
    type Effect = String;

    async fn on_record(&self, record: &Record) -> Result<Step<String>, StageError> {
        if text(record).starts_with("late") && !self.recalled.lock().remove(&record.position) {
            self.waiting.lock().push(record.position.clone());
            return Ok(Step::put_off());
        }
        Ok(onward(record))
    }

    async fn recall(&self) -> Vec<Position> {
        self.go_on.notified().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        self.recalled.lock().extend(waiting.iter().cloned());
        waiting
    }

    async fn after_ack(&self, _effect: String) {}
}

fn options() -> StageOptions {
    StageOptions {
        max_in_flight: 1,
        ..Bench::options(&[IN])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_off_lets_others_pass_and_nothing_behind_it_is_committed_until_it_is_recalled() {
    let bench = Bench::new();
    bench
        .put(&["one", "late two", "three", "late four", "five"])
        .await;
    let stage = Arc::new(Later::default());
    let (runtime, identity, hosted) = (bench.runtime.clone(), bench.identity.clone(), stage.clone());
    let running = tokio::spawn(async move { run_stage(hosted, &runtime, &identity, options()).await });
    assert_eq!(texts(&bench.read(OUT, 3).await), ["one", "three", "five"]);
    bench.until_committed(1).await;
    stage.go_on.notify_one();
    let all = texts(&bench.read(OUT, 5).await);
    assert_eq!(all[3..].iter().collect::<BTreeSet<_>>().len(), 2, "{all:?}");
    bench.until_committed(5).await;
    bench.drain(running).await;
    bench.close();
}

/// Holds `held` until what it put off before has been decided, and recalls that only then.
#[derive(Default)]
struct Held {
    late: Mutex<Option<Position>>,
    recalled: AtomicBool,
    is_full: Notify,
    over: Notify,
}

#[async_trait]
impl Stage for Held {
    type Effect = String;

    async fn on_record(&self, record: &Record) -> Result<Step<String>, StageError> {
        match text(record).as_str() {
            "late" if !self.recalled.load(Ordering::SeqCst) => {
                *self.late.lock() = Some(record.position.clone());
                return Ok(Step::put_off());
            }
            "late" => self.over.notify_one(),
            _ => {
                self.is_full.notify_one();
                self.over.notified().await;
            }
        }
        Ok(onward(record))
    }

    async fn recall(&self) -> Vec<Position> {
        self.is_full.notified().await;
        self.recalled.store(true, Ordering::SeqCst);
        self.late.lock().take().into_iter().collect()
    }

    async fn after_ack(&self, _effect: String) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_off_comes_back_although_whatever_waits_for_it_takes_every_place() {
    let bench = Bench::new();
    bench.put(&["late", "held"]).await;
    let (runtime, identity, stage) = (
        bench.runtime.clone(),
        bench.identity.clone(),
        Arc::new(Held::default()),
    );
    let running = tokio::spawn(async move { run_stage(stage, &runtime, &identity, options()).await });
    let all: BTreeSet<_> = texts(&bench.read(OUT, 2).await).into_iter().collect();
    assert_eq!(all, ["held".to_owned(), "late".to_owned()].into());
    bench.until_committed(2).await;
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_let_go_before_its_turn_came_becomes_a_dead_letter_that_says_so() {
    let bench = Bench::new();
    bench.put(&["late one"]).await;
    let stage = Arc::new(Later::default());
    // Before the first that the log holds.
    let lost = Position {
        partition: Partition::new(IN, 1),
        offset: -1,
    };
    stage.waiting.lock().push(lost.clone());
    let (runtime, identity, hosted) = (bench.runtime.clone(), bench.identity.clone(), stage.clone());
    let running = tokio::spawn(async move { run_stage(hosted, &runtime, &identity, options()).await });
    until(|| async { stage.waiting.lock().len() == 2 }).await;
    stage.go_on.notify_one();
    assert_eq!(texts(&bench.read(OUT, 1).await), ["late one"]);
    let registry = relay_schemas::Registry::default();
    let letter: DeadLetter = relay_bus::decode(&registry, &bench.read(DEAD_LETTERS, 1).await[0]).unwrap();
    assert_eq!((letter.source_partition, letter.source_offset), (1, -1));
    assert!(
        letter.reason.contains("the log had let it go"),
        "{}",
        letter.reason
    );
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_off_when_the_process_ended_is_decided_by_the_next_one() {
    let bench = Bench::new();
    bench.put(&["late one", "two"]).await;
    let first = Arc::new(Later::default());
    let (runtime, identity) = (bench.runtime.clone(), bench.identity.clone());
    let running = tokio::spawn(async move { run_stage(first, &runtime, &identity, options()).await });
    bench.read(OUT, 1).await;
    bench.drain(running).await;
    let (second, runtime, identity) = (
        Arc::new(Later::default()),
        bench.process(),
        bench.identity.clone(),
    );
    let (hosted, process) = (second.clone(), runtime.clone());
    let running = tokio::spawn(async move { run_stage(hosted, &process, &identity, options()).await });
    assert_eq!(texts(&bench.read(OUT, 2).await), ["two", "two"]);
    second.go_on.notify_one();
    assert_eq!(texts(&bench.read(OUT, 3).await)[2], "late one");
    bench.until_committed(2).await;
    runtime.shutdown.drain();
    ended(running).await.unwrap();
    bench.close();
}
