//! Version N and version N+1 of a service run side by side: N+1 has one field more and one less.

use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{DEAD_LETTERS, REQUESTS, SCHEMAS};
use relay_bus::{Bus, Headers, Outgoing};
use relay_runner::{announce_schemas, follow_schemas, refresh_schemas};
use relay_schemas::samples::{NextRequest, PRIORITY};
use relay_schemas::{Record, Registry, Request, encode};

use crate::bench::{Bench, IN, OUT, Scripted, onward, request_headers, text, texts};
use crate::poison::{reader, request};

fn next(id: &str) -> NextRequest {
    NextRequest::of(request(id), 9)
}

/// A process of version N+1 starts.
async fn announce_next(bus: &dyn Bus) {
    let body = NextRequest::announced();
    let record = Outgoing::keyed(
        SCHEMAS,
        body.fingerprint.clone(),
        Headers::default(),
        encode(&body),
    );
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
            priority: PRIORITY,
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
