//! Version N and version N+1 of a service run side by side: N+1 has one field more and one less.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use relay_bus::topics::{DEAD_LETTERS, REQUESTS, SCHEMAS};
use relay_bus::{Bus, Headers, Outgoing};
use relay_runner::{announce_schemas, follow_schemas, refresh_schemas};
use relay_schemas::{Codec, Record, Registry, Request, SchemaBody, TokenCount, encode, hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::{Bench, IN, OUT, Scripted, onward, request_headers, text, texts};
use crate::poison::{reader, request};

/// A request as version N+1 has it: without `idempotency_key`, with `priority`. (Only what the test looks at is typed.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NextRequest {
    request_id: relay_schemas::RequestId,
    tenant: relay_schemas::TenantId,
    class: relay_schemas::Class,
    model: String,
    operation: relay_schemas::Operation,
    body: String,
    request_hash: String,
    stream: bool,
    include_usage: bool,
    prompt_tokens: TokenCount,
    requested_tokens: Option<TokenCount>,
    temperature: Option<f64>,
    accepted_at: relay_schemas::TimestampMs,
    deadline: relay_schemas::TimestampMs,
    reply_to: Option<String>,
    batch: Option<relay_schemas::BatchRef>,
    priority: i64,
}

impl Record for NextRequest {
    const NAME: &'static str = "Request";

    fn codec() -> &'static Codec {
        static CODEC: OnceLock<Codec> = OnceLock::new();
        CODEC.get_or_init(|| {
            let mut schema: Value = serde_json::from_str(Request::codec().json()).unwrap();
            let fields = schema["fields"].as_array_mut().unwrap();
            fields.retain(|field| field["name"] != "idempotency_key");
            fields.push(json!({"name": "priority", "type": "long", "doc": "New.", "default": 4}));
            Codec::of(schema.to_string())
        })
    }
}

fn next(id: &str) -> NextRequest {
    let now = request(id);
    NextRequest {
        request_id: now.request_id,
        tenant: now.tenant,
        class: now.class,
        model: now.model,
        operation: now.operation,
        body: now.body,
        request_hash: now.request_hash,
        stream: now.stream,
        include_usage: now.include_usage,
        prompt_tokens: now.prompt_tokens,
        requested_tokens: now.requested_tokens,
        temperature: now.temperature,
        accepted_at: now.accepted_at,
        deadline: now.deadline,
        reply_to: now.reply_to,
        batch: now.batch,
        priority: 9,
    }
}

/// What a process of version N+1 announces at its start.
async fn announce_next(bus: &dyn Bus) {
    let codec = NextRequest::codec();
    let fingerprint = hex(codec.fingerprint());
    let body = SchemaBody {
        fingerprint: fingerprint.clone(),
        schema: codec.json().to_owned(),
    };
    let record = Outgoing::keyed(SCHEMAS, fingerprint, Headers::default(), encode(&body));
    bus.publish(vec![record], Vec::new()).await.unwrap();
}

async fn put<T: Record>(bench: &Bench, topic: &str, id: &str, record: &T) {
    let outgoing = Outgoing {
        partition: Some(0),
        ..Outgoing::keyed(topic, id.to_owned(), request_headers(id), encode(record))
    };
    bench.bus.publish(vec![outgoing], Vec::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_read_each_other() {
    let bench = Bench::new();
    announce_schemas(&*bench.bus).await.unwrap();
    // Version N reads what N+1 writes, and learns its schema only when it meets it.
    let of_now = reader(&bench.runtime.schemas);
    let running = bench.start_on(&bench.runtime, &of_now, Bench::options(&[REQUESTS]));
    put(&bench, REQUESTS, "from now", &request("from now")).await;
    assert_eq!(texts(&bench.read(OUT, 1).await), ["from now"]);
    assert!(!bench.runtime.schemas.knows(NextRequest::codec().fingerprint()));
    announce_next(&*bench.bus).await;
    put(&bench, REQUESTS, "from next", &next("from next")).await;
    assert_eq!(texts(&bench.read(OUT, 2).await), ["from now", "from next"]);

    // Version N+1 reads what N writes: the new field has its default.
    let runtime = bench.process();
    let registry = runtime.schemas.clone();
    let of_next = Scripted::new(move |record, _| {
        let read: NextRequest = relay_bus::decode(&registry, record)?;
        let expected = NextRequest {
            priority: 4,
            ..next("to next")
        };
        assert_eq!(read, expected);
        Ok(onward(&relay_bus::Record {
            value: Some("read by next".into()),
            ..record.clone()
        }))
    });
    let options = relay_runner::StageOptions {
        group: "relay.next".to_owned(),
        ..Bench::options(&[IN])
    };
    let other = bench.start_on(&runtime, &of_next, options);
    put(&bench, IN, "to next", &request("to next")).await;
    assert_eq!(text(&bench.read(OUT, 3).await[2]), "read by next");
    assert_eq!(bench.count(DEAD_LETTERS).await, 0);
    runtime.shutdown.drain();
    crate::bench::ended(other).await.unwrap();
    bench.drain(running).await;
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_announced_once_and_what_is_retired_reads_as_its_default() {
    let bench = Bench::new();
    assert_eq!(
        announce_schemas(&*bench.bus).await.unwrap(),
        relay_schemas::all().len()
    );
    assert_eq!(announce_schemas(&*bench.bus).await.unwrap(), 0);
    announce_next(&*bench.bus).await;
    let registry = Arc::new(Registry::default());
    refresh_schemas(&*bench.bus, &registry).await.unwrap();
    let read: Request = registry.decode(Some(&encode(&next("r")))).unwrap();
    assert_eq!((read.idempotency_key, read.model.as_str()), (None, "m"));
    bench.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_schemas_knows_a_version_that_is_announced_later() {
    let bench = Bench::new();
    let registry = Arc::new(Registry::default());
    let (bus, learning) = (bench.bus.clone(), registry.clone());
    let following = tokio::spawn(async move { follow_schemas(&*bus, &learning).await });
    announce_next(&*bench.bus).await;
    let known = async {
        while !registry.knows(NextRequest::codec().fingerprint()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known)
        .await
        .expect("what is announced is learned");
    following.abort();
    bench.close();
}
