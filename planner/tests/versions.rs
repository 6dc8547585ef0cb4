//! The real planner, of version N, between an ingress and a cache service of version N+1: their requests have `priority` and
//! no `idempotency_key` any more.
#![expect(clippy::unwrap_used, reason = "a test may stop here")]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use relay_bus::topics::{Manifest, PLANNED, REQUESTS, SCHEMAS};
use relay_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition, StartAt};
use relay_control::{InProcessControl, InProcessOptions};
use relay_planner::{Config, Deps, run};
use relay_runner::{Identity, Runtime};
use relay_schemas::samples::{self, NextRequest, PRIORITY, next_version};
use relay_schemas::{Codec, Planned, Planning, Record, Registry, Request, Service, TimestampMs, encode};
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NextPlanned {
    request: NextRequest,
    planning: Planning,
}

impl Record for NextPlanned {
    const NAME: &'static str = "Planned";

    fn codec() -> &'static Codec {
        static CODEC: OnceLock<Codec> = OnceLock::new();
        CODEC.get_or_init(|| next_version(Planned::codec()))
    }
}

fn request() -> NextRequest {
    let now = relay_clock::Clock::system().now();
    let request = Request {
        model: "relay-chat".to_owned(),
        body: r#"{"messages":[{"content":"Hi","role":"user"}],"model":"relay-chat"}"#.to_owned(),
        accepted_at: now,
        deadline: now.plus_ms(600_000),
        ..samples::request()
    };
    NextRequest::of(request, 9)
}

async fn publish<T: Record>(bus: &dyn Bus, topic: &str, key: &str, record: &T) {
    let record = Outgoing::keyed(topic, key.to_owned(), Headers::default(), encode(record));
    bus.publish(vec![record], Vec::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_of_now_works_between_services_of_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(
        EmbeddedBus::open(
            folder.path(),
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap(),
    );
    let runtime = Runtime::new(bus.clone());
    relay_runner::announce_schemas(&*bus).await.unwrap();
    let deps = Deps {
        runtime: runtime.clone(),
        identity: Identity {
            service: Service::Planner,
            instance: "planner".into(),
            epoch: 1,
        },
        control: Arc::new(InProcessControl::new(InProcessOptions::default())),
    };
    let running = tokio::spawn(run(Config::default(), deps));

    // What an ingress of version N+1 does: it announces its schema, then writes in it.
    let body = NextRequest::announced();
    publish(&*bus, SCHEMAS, &body.fingerprint, &body).await;
    publish(&*bus, REQUESTS, "r", &request()).await;

    // And a cache service of version N+1: it reads what the planner wrote in version N.
    let partitions = 0..bus.partitions(PLANNED).await.unwrap();
    let from = partitions.map(|partition| (Partition::new(PLANNED, partition), StartAt::Start));
    let mut planned = bus.read(from.collect()).await.unwrap();
    let records = tokio::time::timeout(PATIENCE, planned.next())
        .await
        .unwrap()
        .unwrap();
    let registry = Registry::default();
    relay_runner::refresh_schemas(&*bus, &registry).await.unwrap();
    let read: NextPlanned = relay_bus::decode(&registry, &records[0]).unwrap();
    let passed_on = NextRequest {
        // Version N does not know the field, so it cannot pass it on.
        priority: PRIORITY,
        ..request()
    };
    let times = |request: NextRequest| NextRequest {
        accepted_at: TimestampMs(0),
        deadline: TimestampMs(0),
        ..request
    };
    assert_eq!(times(read.request), times(passed_on));
    assert!(!read.planning.plan.candidates.is_empty());

    runtime.shutdown.drain();
    running.await.unwrap().unwrap();
}
