//! Both stages: what becomes of one record.

use std::sync::Arc;

use bytes::Bytes;
use relay_bus::topics::{OUTCOMES, PLANNED};
use relay_bus::{Headers, Outgoing, Partition, StartAt, decode};
use relay_clock::Clock;
use relay_control::{Delivery, InProcessOptions, listen};
use relay_lifecycle::Transcript;
use relay_runner::{Runtime, Shutdown, Stage, StageError, Step};
use relay_schemas::{CacheStatus, Frame, MicroUsd, Outcome, OutcomeStatus, Ready, Registry, encode, samples};
use relay_settings::ByteSize;

use super::house::{House, fill_stage, record};
use crate::testing::{NOW, completed, planned};

fn ready_of(step: &Step<Arc<Outcome>>) -> Ready {
    assert_eq!((step.publish.len(), step.effects.len()), (1, 0));
    assert_eq!(step.publish[0].topic, "relay.ready.default.v1");
    Registry::default()
        .decode(step.publish[0].value.as_deref())
        .expect("a ready record")
}

#[tokio::test]
async fn a_miss_goes_to_the_plans_first_pool_by_tenant() {
    let house = House::new();
    let planned = planned("acme", "h");
    let step = house.look_up(&planned).await;
    let ready = ready_of(&step);
    assert_eq!(step.publish[0].key.as_deref(), Some(&b"acme"[..]));
    assert_eq!(ready.caching.exact, CacheStatus::Miss);
    assert_eq!(
        (ready.request, ready.planning),
        (planned.request, planned.planning)
    );
}

#[tokio::test]
async fn a_filled_answer_ends_the_next_request_with_its_provenance_and_at_no_cost() {
    let house = House::new();
    house.fill(&completed(&planned("acme", "h"), "Paris"), 0).await;
    let mut again = planned("acme", "h");
    Arc::make_mut(&mut again.request).request_id = "another".into();
    let reply_to = again.request.reply_to.clone().expect("somebody waits");
    let mut frames = listen::<Frame>(&*house.control, &reply_to)
        .await
        .expect("listening");

    let mut step = house.look_up(&again).await;
    assert_eq!(step.publish[0].topic, OUTCOMES);
    assert_eq!(step.publish[0].key.as_deref(), Some(&b"another"[..]));
    let outcome: Outcome = Registry::default()
        .decode(step.publish[0].value.as_deref())
        .expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.cost_micro_usd),
        (OutcomeStatus::Cached, MicroUsd(0))
    );
    assert_eq!(outcome.timings.backend_latency_ms, None);
    assert_eq!(outcome.usage.completion_tokens.0, 2);
    let caching = outcome.caching.expect("it was looked up");
    let provenance = caching.provenance.as_ref().expect("a hit");
    assert_eq!(
        (caching.exact, provenance.level.as_str()),
        (CacheStatus::Hit, "lru")
    );
    assert_eq!(provenance.source_request_id.as_str(), "request-acme-h");
    assert_eq!(provenance.source_topic, OUTCOMES);

    house.lookup.after_ack(step.effects.remove(0)).await;
    let Some(Delivery::Message(frame)) = frames.next().await else {
        panic!("no frame")
    };
    assert_eq!((frame.seq, frame.deltas[0].text.as_str()), (0, "Paris"));
    assert_eq!(frame.end.expect("the end").status, OutcomeStatus::Cached);
}

/// What a client hears whose ingress follows the frames of `outcome`.
async fn said(house: &House, outcome: Arc<Outcome>) -> Transcript {
    let request = outcome.request.as_ref().expect("it was planned");
    let reply_to = request.reply_to.clone().expect("somebody waits");
    let mut frames = listen::<Frame>(&*house.control, &reply_to)
        .await
        .expect("listening");
    house.lookup.after_ack(outcome).await;
    let mut said = Transcript::default();
    loop {
        let Some(Delivery::Message(frame)) = frames.next().await else {
            panic!("no frame")
        };
        said.apply(&frame);
        if let Some(end) = frame.end {
            assert_eq!(end.status, OutcomeStatus::Cached);
            return said;
        }
    }
}

#[tokio::test]
async fn an_answer_with_tool_calls_reasoning_two_choices_and_logprobs_comes_out_of_the_cache_whole_streamed_and_not()
 {
    let mut answer = samples::rich_answer();
    answer.choices.retain(|choice| choice.message.refusal.is_none());
    for (stream, max_payload) in [
        (false, ByteSize::mib(1)),
        (true, ByteSize::mib(1)),
        (true, ByteSize::b(700)),
    ] {
        let house = House::with(InProcessOptions {
            max_payload,
            ..InProcessOptions::default()
        });
        let mut filled = completed(&planned("acme", "h"), "");
        filled.answer = Some(answer.clone().into());
        house.fill(&filled, 0).await;
        let mut again = planned("acme", "h");
        Arc::make_mut(&mut again.request).request_id = "another".into();
        Arc::make_mut(&mut again.request).stream = stream;
        let mut step = house.look_up(&again).await;
        let outcome = step.effects.remove(0);
        assert_eq!(
            outcome.answer.as_deref(),
            Some(&answer),
            "in the record, {max_payload}"
        );
        let said = said(&house, outcome).await;
        assert_eq!(said.choices(), answer.choices, "to the client, {max_payload}");
        assert_eq!(said.embeddings(), answer.embeddings);
    }
}

#[tokio::test]
async fn another_tenant_never_gets_it() {
    let house = House::new();
    house.fill(&completed(&planned("acme", "h"), "Paris"), 0).await;
    let ready = ready_of(&house.look_up(&planned("zeta", "h")).await);
    assert_eq!(ready.caching.exact, CacheStatus::Miss);
}

#[tokio::test]
async fn a_plan_without_cache_is_not_looked_up() {
    let house = House::new();
    house.fill(&completed(&planned("acme", "h"), "Paris"), 0).await;
    let mut off = planned("acme", "h");
    Arc::make_mut(&mut off.planning).plan.cache.exact = false;
    assert_eq!(
        ready_of(&house.look_up(&off).await).caching.exact,
        CacheStatus::Off
    );
}

#[tokio::test]
async fn a_passed_deadline_ends_as_expired() {
    let house = House::new();
    let mut late = planned("acme", "h");
    Arc::make_mut(&mut late.planning).plan.deadline = NOW;
    let step = house.look_up(&late).await;
    let outcome: Outcome = Registry::default()
        .decode(step.publish[0].value.as_deref())
        .expect("an outcome");
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (OutcomeStatus::Expired, Some("deadline_exceeded"))
    );
    assert_eq!(step.effects.len(), 1);
}

#[tokio::test]
async fn a_second_outcome_fills_nothing_even_where_the_first_did_not() {
    let house = House::new();
    let planned = planned("acme", "h");
    let mut failed = completed(&planned, "");
    failed.status = OutcomeStatus::Failed;
    let first = house.append(&failed).await;
    let second = house.append(&completed(&planned, "zombie")).await;
    for record in [&first, &second] {
        house.fill.on_record(record).await.expect("decided");
    }
    assert_eq!(
        ready_of(&house.look_up(&planned).await).caching.exact,
        CacheStatus::Miss
    );
    assert_eq!(house.metrics.superseded_count(), 1);
}

#[tokio::test]
async fn after_a_restart_the_log_tells_who_had_won() {
    let house = House::new();
    let planned = planned("acme", "h");
    let mut failed = completed(&planned, "");
    failed.status = OutcomeStatus::Failed;
    let first = house.append(&failed).await;
    house.fill.on_record(&first).await.expect("decided");
    let second = house.append(&completed(&planned, "zombie")).await;
    let restarted = fill_stage(&house.bus, &house.fill.levels, &house.metrics);
    restarted.on_record(&second).await.expect("decided");
    assert_eq!(house.metrics.superseded_count(), 1);
    assert_eq!(
        ready_of(&house.look_up(&planned).await).caching.exact,
        CacheStatus::Miss
    );
}

#[tokio::test]
async fn an_answer_larger_than_an_entry_may_be_is_not_kept() {
    let house = House::new();
    house
        .fill(&completed(&planned("acme", "h"), &"x".repeat(20_000)), 0)
        .await;
    assert_eq!(
        ready_of(&house.look_up(&planned("acme", "h")).await)
            .caching
            .exact,
        CacheStatus::Miss
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_poison() {
    let house = House::new();
    let garbage = record(PLANNED, 0, Bytes::from_static(b"garbage, long enough"));
    assert!(matches!(
        house.lookup.on_record(&garbage).await,
        Err(StageError::Poison(_))
    ));
    assert!(matches!(
        house.fill.on_record(&garbage).await,
        Err(StageError::Poison(_))
    ));
    let mut empty = planned("acme", "h");
    Arc::make_mut(&mut empty.planning).plan.candidates.clear();
    let decided = house.lookup.on_record(&record(PLANNED, 0, encode(&empty))).await;
    assert!(matches!(decided, Err(StageError::Poison(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_running_service_fills_from_the_log_and_answers_the_next_request_into_it() {
    let house = House::new();
    let shutdown = Shutdown::default();
    let deps = crate::Deps {
        runtime: Runtime {
            clock: Clock::manual(NOW).0,
            shutdown: shutdown.clone(),
            ..Runtime::new(house.bus.clone())
        },
        identity: house.lookup.identity.clone(),
        control: house.control.clone(),
    };
    let service = tokio::spawn(crate::run(crate::Config::default(), deps));
    let asked = planned("acme", "h");
    let source = house.append(&completed(&asked, "Paris")).await.position;
    let fills = async {
        while house
            .bus
            .committed(crate::FILL_GROUP, &source.partition)
            .await
            .expect("an answer")
            != Some(1)
        {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), fills)
        .await
        .expect("the outcome is folded");

    let mut again = asked;
    Arc::make_mut(&mut again.request).request_id = "another".into();
    let record = Outgoing::keyed(PLANNED, "key", Headers::of(&again.request), encode(&again));
    house
        .bus
        .publish(vec![record], Vec::new())
        .await
        .expect("published");
    let partitions = house.bus.partitions(OUTCOMES).await.expect("an answer");
    let from = (0..partitions)
        .map(|number| (Partition::new(OUTCOMES, number), StartAt::Start))
        .collect();
    let mut reader = house.bus.read(from).await.expect("a reader");
    let cached = async {
        loop {
            for record in reader.next().await.expect("records") {
                let outcome: Outcome = decode(&Registry::default(), &record).expect("an outcome");
                if outcome.status == OutcomeStatus::Cached {
                    return outcome;
                }
            }
        }
    };
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(30), cached)
        .await
        .expect("an outcome");
    assert_eq!(outcome.request_id.as_str(), "another");
    let provenance = outcome
        .caching
        .and_then(|caching| caching.provenance.clone())
        .expect("a hit");
    assert_eq!(
        (provenance.source_partition, provenance.source_offset),
        (0, source.offset)
    );
    shutdown.drain();
    service.await.expect("no panic").expect("a clean end");
}
