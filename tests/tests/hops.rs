//! On the production column: each hop is a record in Kafka, a client whose ingress died asks another one, and two are asked at
//! once.
//!
//! The scenarios share one set of servers, so they take turns.

use std::time::{Duration, Instant};

use relay_bus::{Bus, Record, header, topics};
use relay_schemas::{Outcome, Registry};

use relay_tests::ask::{End, Manner, Observation, ask, unique_prompt};
use relay_tests::gateway::KILLABLE;
use relay_tests::pairs::one_key_two_ingresses;
use relay_tests::pools::EMPTY;
use relay_tests::production::{Instance, Production};
use relay_tests::proofs::{MOST, store};
use relay_tests::settle::settle_running;
use relay_tests::{http, ledger};
use tokio::sync::Mutex;

static TURN: Mutex<()> = Mutex::const_new(());

const HOPS: [&[&str]; 5] = [
    &["relay.requests.v1"],
    &["relay.planned.v1"],
    &["relay.ready.default.v1"],
    &["relay.work.default.short.v1", "relay.work.default.long.v1"],
    &["relay.outcomes.v1"],
];

/// The records of one request at one hop, whichever topic it took.
async fn records(bus: &dyn Bus, topics: &[&str], request: &str) -> Vec<Record> {
    let mut found = Vec::new();
    for topic in topics {
        let all = ledger::all(bus, topic).await.expect("Kafka answers");
        let ours = |record: &Record| {
            record
                .headers
                .get(header::REQUEST_ID)
                .is_some_and(|id| id == request)
        };
        found.extend(all.into_iter().filter(ours));
    }
    found
}

/// Nobody asked this before, so no cache and no key has it.
fn now() -> u64 {
    relay_clock::Clock::system().now().0.unsigned_abs()
}

async fn offsets(bus: &dyn Bus, topics: &[&str]) -> i64 {
    let mut sum = 0;
    for topic in topics {
        sum += ledger::count(bus, topic).await.expect("Kafka answers");
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ingresses_under_one_key_tell_one_end_to_one_body_and_refuse_another() {
    let _turn = TURN.lock().await;
    let report = one_key_two_ingresses(1).await;
    let report = report.expect("one end for each key");
    assert!(report.equal > 0 && report.different > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hop_between_six_processes_is_a_record_in_kafka() {
    let _turn = TURN.lock().await;
    let deployment = Production::start(KILLABLE, 1, &[])
        .await
        .expect("six processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    for (number, manner) in [Manner::Streamed, Manner::Whole].into_iter().enumerate() {
        let mut before = Vec::new();
        for topics in HOPS {
            before.push(offsets(&*bus, topics).await);
        }
        let prompt = unique_prompt(now() + number as u64);
        let base = &deployment.base_urls[0];
        let saw = ask(&http::client(), base, "tenant-0", &prompt, manner, None).await;
        assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
        let id = saw.request_id.expect("every answer names its request");
        let mut reached = i64::MIN;
        for (topics, before) in HOPS.into_iter().zip(before) {
            assert!(
                offsets(&*bus, topics).await > before,
                "the offsets of {topics:?} stand still"
            );
            let found = records(&*bus, topics, &id).await;
            assert_eq!(found.len(), 1, "records of {id} in {topics:?}");
            let written = found[0].timestamp.0;
            assert!(
                written >= reached,
                "{topics:?} was written before the hop that leads to it"
            );
            reached = written;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_worker_of_its_first_pool_takes_goes_on_in_the_next_pool_over_kafka() {
    let _turn = TURN.lock().await;
    let deployment = Production::prepare(KILLABLE, 1, &[]).expect("a deployment");
    deployment.with_an_empty_pool_first().expect("two pools");
    let deployment = deployment.started().await.expect("six processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    for (number, manner) in [Manner::Streamed, Manner::Whole].into_iter().enumerate() {
        let prompt = unique_prompt(now() + number as u64);
        let base = &deployment.base_urls[0];
        let saw = ask(&http::client(), base, "tenant-0", &prompt, manner, None).await;
        assert_eq!(saw.end, End::Finished("stop".to_owned()), "{saw:?}");
        let id = saw.request_id.expect("every answer names its request");
        for pool in [EMPTY, "default"] {
            let offered = records(&*bus, &[&topics::ready(pool)], &id).await;
            assert_eq!(offered.len(), 1, "records of {id} in pool {pool}");
        }
        let ended = records(&*bus, &[topics::OUTCOMES], &id).await;
        let outcome: Outcome = Registry::default()
            .decode(ended[0].value.as_deref())
            .expect("an outcome");
        let planning = outcome.planning.expect("it was planned");
        let handovers = &planning.handovers;
        let told: Vec<&str> = handovers.iter().map(|over| over.code.as_str()).collect();
        assert_eq!(told, ["no_worker"]);
        assert_eq!(outcome.queueing.expect("it ran").pool, "default");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_scheduler_is_gone_is_named_by_planner_and_workers_which_stay_ready() {
    let _turn = TURN.lock().await;
    let mut deployment = Production::start(KILLABLE, 1, &[])
        .await
        .expect("six processes start");
    let instance = |service| Instance { service, number: 0 };
    let is_told = async |deployment: &Production, words: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        for (service, name) in [("planner", "pools"), ("workers", "pool")] {
            loop {
                let told = deployment.dependencies(&instance(service)).await.remove(name);
                if told.as_ref().is_some_and(|told| told.contains(words)) {
                    break;
                }
                assert!(
                    Instant::now() < deadline,
                    "{service} says {told:?} and not `{words}`"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    is_told(&deployment, "ok").await;
    let scheduler = instance("scheduler");
    deployment.stop(&scheduler).expect("it drains");
    is_told(&deployment, "leads pool default").await;
    deployment
        .ready(Duration::from_secs(30))
        .await
        .expect("other pools may work");
    deployment.run(&scheduler, None).expect("it starts again");
    is_told(&deployment, "ok").await;
    deployment.stop_all().expect("all drain");
}

/// Asks behind one ingress; a handle on the answer.
fn asking(base: &str, prompt: &str, key: &str) -> tokio::task::JoinHandle<Observation> {
    let (base, prompt, key) = (base.to_owned(), prompt.to_owned(), key.to_owned());
    tokio::spawn(async move {
        ask(
            &http::client(),
            &base,
            "tenant-0",
            &prompt,
            Manner::Whole,
            Some(&key),
        )
        .await
    })
}

/// Waits until one more record lies at a hop.
async fn until_more(bus: &dyn Bus, topics: &[&str], than: i64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while offsets(bus, topics).await <= than {
        assert!(Instant::now() < deadline, "nothing new in {topics:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_ingress_died_asks_another_by_key_and_gets_the_one_answer() {
    let _turn = TURN.lock().await;
    let mut deployment = Production::start(KILLABLE, 2, &["--first-ms", "6000", "--token-ms", "20"])
        .await
        .expect("twelve processes start");
    let bus = ledger::kafka().expect("Kafka runs");
    let ingress = Instance {
        service: "ingress",
        number: 0,
    };
    let [dying, other] = [0, 1].map(|number| deployment.base_urls[number].clone());
    let [_, _, _, work, outcomes] = HOPS;
    let mut saw = Vec::new();
    for is_recorded in [false, true] {
        let number = now();
        let (prompt, key) = (unique_prompt(number), format!("key-{number}"));
        let before = [offsets(&*bus, work).await, offsets(&*bus, outcomes).await];
        let first = asking(&dying, &prompt, &key);
        until_more(&*bus, work, before[0]).await;
        deployment.kill(&ingress);
        assert_eq!(first.await.expect("the client ends").end, End::Broken);
        if is_recorded {
            until_more(&*bus, outcomes, before[1]).await;
        } else {
            assert_eq!(offsets(&*bus, outcomes).await, before[1], "it runs");
        }

        let again = asking(&other, &prompt, &key).await.expect("it answers");
        assert_eq!(again.end, End::Finished("stop".to_owned()), "{again:?}");
        let recorded = asking(&other, &prompt, &key).await.expect("it answers");
        assert_eq!(
            (&recorded.request_id, &recorded.text),
            (&again.request_id, &again.text)
        );
        let reused = asking(&other, "another body", &key).await.expect("it answers");
        assert!(matches!(reused.end, End::Status(409, _)), "{reused:?}");
        let id = again
            .request_id
            .as_deref()
            .expect("every answer names its request");
        assert_eq!(records(&*bus, work, id).await.len(), 1, "{id} ran more than once");
        saw.push(again);
        deployment.run(&ingress, None).expect("it starts");
        deployment
            .ready(Duration::from_secs(60))
            .await
            .expect("it is ready");
    }
    settle_running(&*bus, &store().expect("the servers run"), &saw, MOST)
        .await
        .expect("exactly one outcome each");
}
