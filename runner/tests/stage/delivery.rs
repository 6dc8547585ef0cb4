//! Nothing is lost: outages of the bus, crashes, drains, and partitions that move.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::testing::Mood;
use relay_bus::topics::{DEAD_LETTERS, OUTCOMES};
use relay_bus::{Headers, Outgoing, Partition, header};
use relay_lifecycle::{Ending, Known, end};
use relay_runner::{StageOptions, Step};
use relay_schemas::{
    Answer, Outcome, OutcomeStatus, RequestId, Service, TenantId, TimestampMs, decode, encode,
};

use crate::bench::{
    Bench, GROUP, IN, OUT, OUTCOME_LIMIT, Scripted, ended, onward, request_headers, text, texts, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn records_pass_in_bulk_and_are_committed_to_the_end() {
    let bench = Bench::new();
    let names: Vec<String> = (0..500).map(|n| format!("r{n}")).collect();
    bench
        .put(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let stage = Scripted::echo();
    let running = bench.start(&stage);
    let passed: BTreeSet<String> = texts(&bench.read(OUT, 500).await).into_iter().collect();
    assert_eq!(passed, names.into_iter().collect());
    bench.until_committed(500).await;
    bench.drain(running).await;
    assert_eq!(stage.effects.lock().len(), 500);
    assert_eq!(
        *stage.owned.lock(),
        [Partition::new(IN, 0), Partition::new(IN, 1)]
    );
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_carry_a_checksum_and_their_inputs_trace_context() {
    let bench = Bench::new();
    bench.put(&["one"]).await;
    let running = bench.start(&Scripted::echo());
    let out = &bench.read(OUT, 1).await[0];
    assert_eq!(
        out.headers.get(header::TRACEPARENT),
        request_headers("one").get(header::TRACEPARENT)
    );
    assert!(out.headers.get(header::CRC32).is_some());
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_away_is_waited_for_and_effects_wait_with_it() {
    let bench = Bench::new();
    bench.put(&["slow one"]).await;
    let stage = Scripted::echo();
    let running = bench.start(&stage);
    until(|| async { stage.began() == 1 }).await;
    bench.bus.be(Mood::Away);
    stage.gate.add_permits(1);
    until(|| async { bench.bus.refused() >= 3 }).await;
    assert!(!bench.runtime.health.is_ready());
    assert!(stage.effects.lock().is_empty(), "nothing was acknowledged yet");
    bench.bus.be(Mood::Works);
    assert_eq!(texts(&bench.read(OUT, 1).await), ["slow one"]);
    until(|| async { *stage.effects.lock() == ["slow one"] && bench.runtime.health.is_ready() }).await;
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_finished_when_the_process_died_is_done_again() {
    let bench = Bench::new();
    bench.put(&["slow one", "two", "three"]).await;
    let stage = Scripted::echo();
    let running = bench.start(&stage);
    // Two and three are done; the commit may not pass the first.
    bench.read(OUT, 2).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_ne!(bench.committed().await, Some(3));
    let successor = Scripted::echo();
    successor.gate.add_permits(1);
    let runtime = bench.process();
    let running = bench.start_on(&runtime, &successor, Bench::options(&[IN]));
    bench.until_committed(3).await;
    let passed: BTreeSet<String> = texts(&bench.read(OUT, 5).await).into_iter().collect();
    assert_eq!(passed, ["slow one", "three", "two"].map(String::from).into());
    runtime.shutdown.drain();
    ended(running).await.unwrap();
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_finishes_what_runs_and_begins_nothing_new() {
    let bench = Bench::new();
    bench.put(&["slow one"]).await;
    let stage = Scripted::echo();
    let running = bench.start(&stage);
    until(|| async { stage.began() == 1 }).await;
    bench.runtime.shutdown.drain();
    bench.put(&["too late"]).await;
    stage.gate.add_permits(1);
    ended(running).await.unwrap();
    assert_eq!(texts(&bench.read(OUT, 1).await), ["slow one"]);
    assert_eq!(*stage.effects.lock(), ["slow one"]);
    assert_eq!((bench.committed().await, stage.began()), (Some(1), 1));
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_order_a_record_is_begun_once_the_one_before_it_is_decided() {
    let bench = Bench::new();
    bench.put(&["slow one", "b"]).await;
    let stage = Scripted::echo();
    let options = StageOptions {
        in_order: true,
        ..Bench::options(&[IN])
    };
    let running = bench.start_on(&bench.runtime, &stage, options);
    until(|| async { stage.began() == 1 }).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(stage.began(), 1);
    stage.gate.add_permits(1);
    assert_eq!(texts(&bench.read(OUT, 2).await), ["slow one", "b"]);
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_nothing_and_what_had_begun_counts_as_cut() {
    let bench = Bench::new();
    bench.put(&["slow one"]).await;
    let stage = Scripted::echo();
    let running = bench.start(&stage);
    until(|| async { stage.began() == 1 }).await;
    bench.runtime.shutdown.stop();
    ended(running).await.unwrap();
    assert_eq!((bench.committed().await, bench.count(OUT).await), (None, 0));
    assert_eq!(bench.runtime.shutdown.count_cut(), 1);
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_takes_partitions_over_and_nothing_is_lost() {
    let bench = Bench::new();
    let (first, second) = (Scripted::echo(), Scripted::echo());
    let running = bench.start(&first);
    until(|| async { first.owned.lock().len() == 2 }).await;
    let runtime = bench.process();
    let other = bench.start_on(&runtime, &second, Bench::options(&[IN]));
    until(|| async { first.owned.lock().len() == 1 && second.owned.lock().len() == 1 }).await;
    for partition in 0..2 {
        let to = Partition::new(IN, partition);
        let record = |n: i32| Outgoing::to_partition(&to, Headers::default(), format!("{partition}/{n}"));
        let records = (0..20).map(record).collect();
        bench.bus.log.publish(records, Vec::new()).await.unwrap();
    }
    let passed: BTreeSet<String> = texts(&bench.read(OUT, 40).await).into_iter().collect();
    assert_eq!(passed.len(), 40);
    assert_eq!((first.began(), second.began()), (20, 20));
    bench.drain(running).await;
    until(|| async { second.owned.lock().len() == 2 }).await;
    for partition in 0..2 {
        let partition = Partition::new(IN, partition);
        until(|| async { bench.bus.log.committed(GROUP, &partition).await.unwrap() == Some(20) }).await;
    }
    runtime.shutdown.drain();
    ended(other).await.unwrap();
    bench.close();
}

/// An outcome whose answer has `size` bytes.
fn outcome(bench: &Bench, id: &str, size: usize) -> Outgoing {
    let (request_id, tenant) = (RequestId::from(id), TenantId::from("tenant-1"));
    let mut run = bench.identity.run(1);
    run.service = Service::Workers;
    let ending = Ending {
        answer: Some(Arc::new(Answer {
            model: "m".to_owned(),
            model_version: "1".to_owned(),
            ..relay_schemas::samples::answer(&"x".repeat(size))
        })),
        ..Ending::of(OutcomeStatus::Completed)
    };
    let outcome = end(Known::Headers(&request_id, &tenant), run, ending, TimestampMs(1));
    Outgoing::keyed(OUTCOMES, id.to_owned(), Headers::default(), encode(&outcome))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_is_too_large_loses_its_text_and_nothing_else() {
    let bench = Bench::new();
    bench.put(&["small", "large", "other"]).await;
    let outcomes = [("small", 10), ("large", 2 * OUTCOME_LIMIT), ("other", 10)]
        .map(|(id, size)| outcome(&bench, id, size));
    let stage = Scripted::new(move |record, _| {
        let at = ["small", "large", "other"]
            .iter()
            .position(|id| *id == text(record))
            .unwrap();
        Ok(Step::publish_then(outcomes[at].clone(), text(record)))
    });
    let running = bench.start(&stage);
    let found = bench.read(OUTCOMES, 3).await;
    for record in &found {
        let outcome: Outcome = decode(record.value.as_ref().unwrap()).unwrap();
        let answer = outcome.answer.unwrap();
        let large = outcome.request_id.as_str() == "large";
        assert_eq!(
            (answer.content_dropped, answer.first_text().is_empty()),
            (large, large)
        );
        assert_eq!(outcome.status, OutcomeStatus::Completed);
    }
    until(|| async { stage.effects.lock().len() == 3 }).await;
    bench.until_committed(3).await;
    bench.drain(running).await;
    assert_eq!(bench.count(DEAD_LETTERS).await, 0);
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_too_large_otherwise_makes_its_input_a_dead_letter() {
    let bench = Bench::new();
    bench.put(&["large", "fine"]).await;
    let stage = Scripted::new(|record, _| {
        if text(record) == "fine" {
            return Ok(onward(record));
        }
        let out = Outgoing::keyed(OUT, "k", Headers::default(), vec![0; 2 << 20]);
        Ok(Step::publish_then(out, "must not happen".to_owned()))
    });
    let running = bench.start(&stage);
    assert_eq!(texts(&bench.read(OUT, 1).await), ["fine"]);
    bench.read(DEAD_LETTERS, 1).await;
    bench.until_committed(2).await;
    bench.drain(running).await;
    assert_eq!(*stage.effects.lock(), ["fine"]);
    bench.close();
}
