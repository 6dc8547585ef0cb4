//! Replay from offset 0: every recorded plan can be made again from the log alone.

#![expect(clippy::unwrap_used, reason = "a test says where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{Manifest, PLANNED, REQUESTS};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, Record, StartAt, decode};
use relay_control::{InProcessControl, InProcessOptions};
use relay_planner::{Config, Deps, PolicyFile, recorded_policies, replan};
use relay_runner::{Identity, Runtime, Shutdown};
use relay_schemas::{
    Class, InstanceId, Planned, Registry, Request, RequestId, Service, TenantId, TimestampMs, TokenCount,
    encode,
};

const POLICY: &str = include_str!("../../deploy/policy.yaml");

fn request(number: u32) -> Request {
    let now = relay_clock::Clock::system().now();
    Request {
        request_id: RequestId::new(format!("request-{number}")),
        tenant: TenantId::new(if number.is_multiple_of(3) { "acme" } else { "zeta" }),
        class: if number.is_multiple_of(5) {
            Class::Batch
        } else {
            Class::Interactive
        },
        model: if number.is_multiple_of(2) {
            "relay-chat"
        } else {
            "relay-gpt2"
        }
        .to_owned(),
        body: format!(r#"{{"messages":[],"seed":{number},"stop":["x"]}}"#),
        request_hash: format!("{number:064x}"),
        stream: number.is_multiple_of(7),
        prompt_tokens: TokenCount(number * 50),
        requested_tokens: (number.is_multiple_of(4)).then_some(TokenCount(number * 10)),
        temperature: (number.is_multiple_of(2)).then_some(f64::from(number) / 10.0),
        accepted_at: now,
        deadline: now.plus_ms(60_000),
        ..relay_schemas::samples::request()
    }
}

async fn accept(bus: &dyn Bus, number: u32) {
    let request = request(number);
    let key = request.request_id.as_str().to_owned();
    let record = Outgoing::keyed(REQUESTS, key, Headers::of(&request), encode(&request));
    bus.publish(vec![record], Vec::new()).await.unwrap();
}

/// All that the topic holds now, from offset 0.
async fn all(bus: &dyn Bus, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 0..bus.partitions(topic).await.unwrap() {
        let partition = Partition::new(topic, number);
        let high = bus.range(&partition).await.unwrap().high;
        let mut reader = bus.read(vec![(partition, StartAt::Offset(0))]).await.unwrap();
        let mut next = 0;
        while next < high {
            let came = reader.next().await.unwrap();
            next = came.last().unwrap().position.offset + 1;
            records.extend(came);
        }
    }
    records
}

async fn planned(bus: &dyn Bus) -> BTreeMap<RequestId, Planned> {
    let registry = Registry::default();
    let records = all(bus, PLANNED).await;
    let planned = records
        .iter()
        .map(|record| decode::<Planned>(&registry, record).unwrap());
    planned
        .map(|planned| (planned.request.request_id.clone(), planned))
        .collect()
}

/// Waits until `accepted` requests are planned.
async fn until_planned(bus: &dyn Bus, accepted: usize) -> BTreeMap<RequestId, Planned> {
    let wait = async {
        loop {
            let planned = planned(bus).await;
            if planned.len() >= accepted {
                return planned;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("the planner plans what is accepted")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replanning_the_requests_topic_from_offset_0_gives_the_same_plan_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, POLICY).unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(
        EmbeddedBus::open(
            folder.path().join("log"),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap(),
    );
    let shutdown = Shutdown::default();
    let runtime = Runtime {
        shutdown: shutdown.clone(),
        ..Runtime::new(bus.clone())
    };
    let deps = Deps {
        runtime,
        identity: Identity {
            service: Service::Planner,
            instance: InstanceId::new("planner-1"),
            epoch: 1,
        },
        control: Arc::new(InProcessControl::new(InProcessOptions::default())),
    };
    let config = Config {
        policy: PolicyFile::at(&file),
        reload: Duration::from_millis(5),
        ..Config::default()
    };
    let service = tokio::spawn(relay_planner::run(config, deps));

    for number in 0..20 {
        accept(&*bus, number).await;
    }
    until_planned(&*bus, 20).await;
    std::fs::write(
        &file,
        POLICY
            .replace("name: default", "name: second")
            .replace("max: 1024, default: 256", "max: 128, default: 64"),
    )
    .unwrap();
    // One by one, until the new policy plans.
    let mut accepted = 20;
    let recorded = loop {
        accept(&*bus, accepted).await;
        accepted += 1;
        let planned = until_planned(&*bus, accepted as usize).await;
        let versions: BTreeSet<_> = planned
            .values()
            .map(|planned| planned.planning.plan.policy_version.clone())
            .collect();
        if versions.len() == 2 {
            break planned;
        }
        assert!(accepted < 500, "the changed policy never comes into force");
    };
    shutdown.drain();
    service.await.unwrap().unwrap();

    let registry = Registry::default();
    let policies = recorded_policies(&*bus, &registry).await.unwrap();
    let requests = all(&*bus, REQUESTS).await;
    assert_eq!(requests.len(), recorded.len());
    for record in requests {
        let request: Request = decode(&registry, &record).unwrap();
        let before = &recorded[&request.request_id].planning;
        let policy = &policies[&before.plan.policy_version];
        let again = replan(policy, &request, TimestampMs(0)).unwrap();
        assert_eq!(again.plan.plan_hash, before.plan.plan_hash);
        assert_eq!(
            (again.plan, again.rules, again.adjustments),
            (
                before.plan.clone(),
                before.rules.clone(),
                before.adjustments.clone()
            )
        );
    }
}
