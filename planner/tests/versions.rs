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
use relay_schemas::{
    BatchRef, Class, Codec, Planned, Planning, Record, Registry, Request, RequestId, SchemaBody, Service,
    TenantId, TimestampMs, TokenCount, encode, hex,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NextRequest {
    request_id: RequestId,
    tenant: TenantId,
    class: Class,
    model: String,
    operation: relay_schemas::Operation,
    body: String,
    request_hash: String,
    stream: bool,
    include_usage: bool,
    prompt_tokens: TokenCount,
    requested_tokens: Option<TokenCount>,
    temperature: Option<f64>,
    accepted_at: TimestampMs,
    deadline: TimestampMs,
    reply_to: Option<String>,
    batch: Option<BatchRef>,
    priority: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NextPlanned {
    request: NextRequest,
    planning: Planning,
}

impl Record for NextRequest {
    const NAME: &'static str = "Request";

    fn codec() -> &'static Codec {
        static CODEC: OnceLock<Codec> = OnceLock::new();
        CODEC.get_or_init(|| next_version(Request::codec()))
    }
}

impl Record for NextPlanned {
    const NAME: &'static str = "Planned";

    fn codec() -> &'static Codec {
        static CODEC: OnceLock<Codec> = OnceLock::new();
        CODEC.get_or_init(|| next_version(Planned::codec()))
    }
}

/// The schema of version N+1.
fn next_version(now: &Codec) -> Codec {
    let mut schema: Value = serde_json::from_str(now.json()).unwrap();
    assert!(change_request(&mut schema), "it holds a request");
    Codec::of(schema.to_string())
}

/// Changes the request's record, wherever it stands.
fn change_request(schema: &mut Value) -> bool {
    if schema["name"] == "Request"
        && let Some(fields) = schema["fields"].as_array_mut()
    {
        fields.retain(|field| field["name"] != "idempotency_key");
        fields.push(json!({"name": "priority", "type": "long", "doc": "New.", "default": 4}));
        return true;
    }
    match schema {
        Value::Array(items) => items.iter_mut().any(change_request),
        Value::Object(items) => items.values_mut().any(change_request),
        _ => false,
    }
}

fn request() -> NextRequest {
    let now = relay_clock::Clock::system().now();
    NextRequest {
        request_id: "r".into(),
        tenant: "acme".into(),
        class: Class::Interactive,
        model: "relay-chat".to_owned(),
        operation: relay_schemas::Operation::Chat,
        body: r#"{"messages":[{"content":"Hi","role":"user"}],"model":"relay-chat"}"#.to_owned(),
        request_hash: "hash".to_owned(),
        stream: false,
        include_usage: false,
        prompt_tokens: TokenCount(3),
        requested_tokens: None,
        temperature: None,
        accepted_at: now,
        deadline: now.plus_ms(600_000),
        reply_to: None,
        batch: None,
        priority: 9,
    }
}

async fn publish<T: Record>(bus: &dyn Bus, topic: &str, key: &str, record: &T) {
    let record = Outgoing::keyed(topic, key.to_owned(), Headers::default(), encode(record));
    bus.publish(vec![record], Vec::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_of_now_works_between_services_of_the_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::parse(include_str!("../../deploy/topics.yaml")).unwrap();
    let bus: Arc<dyn Bus> =
        Arc::new(EmbeddedBus::open(folder.path(), &manifest, EmbeddedOptions::default()).unwrap());
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
    let codec = NextRequest::codec();
    let fingerprint = hex(codec.fingerprint());
    let body = SchemaBody {
        fingerprint: fingerprint.clone(),
        schema: codec.json().to_owned(),
    };
    publish(&*bus, SCHEMAS, &fingerprint, &body).await;
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
        priority: 4,
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
