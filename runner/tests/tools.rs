//! The small tools, on the embedded log and the in-process control seam.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use relay_bus::testing::{FaultyBus, Mood};
use relay_bus::topics::Manifest;
use relay_bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions, Headers, Outgoing, Partition};
use relay_control::{Control, InProcessControl, InProcessOptions, ask, send};
use relay_runner::{
    Backoff, Chance, Follow, Health, Runtime, Stretch, Tail, ends, hold_partitions, listen_forever,
    ops_router, retry_forever, serve_forever,
};
use relay_schemas::{Cancel, WinnerAnswer, WinnerQuery};
use tower::ServiceExt;

const TOPIC: &str = "test.topic";
const PATIENCE: Duration = Duration::from_secs(10);

fn log(folder: &std::path::Path) -> Arc<dyn Bus> {
    let topics = format!("pools: [default]\ntopics: [{{ name: {TOPIC}, partitions: 2 }}]");
    let manifest = Manifest::parse(&topics).unwrap();
    Arc::new(
        EmbeddedBus::open(
            folder,
            &manifest,
            EmbeddedOptions::default(),
            &relay_clock::Clock::system(),
        )
        .unwrap(),
    )
}

async fn append(bus: &dyn Bus, partition: i32, texts: &[&'static str]) {
    let record = |text: &&'static str| {
        let partition = Partition::new(TOPIC, partition);
        Outgoing::to_partition(&partition, Headers::default(), *text)
    };
    bus.publish(texts.iter().map(record).collect(), Vec::new())
        .await
        .unwrap();
}

fn text(record: &relay_bus::Record) -> String {
    String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()
}

fn brief() -> Backoff {
    Backoff::new(
        Duration::from_millis(1),
        Duration::from_millis(5),
        &Chance::system(),
    )
}

#[tokio::test]
async fn a_stretch_ends_where_the_partition_ended_when_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let bus = log(folder.path());
    append(&*bus, 0, &["a", "b", "c"]).await;
    let mut whole = Stretch::whole(&*bus, Partition::new(TOPIC, 0)).await.unwrap();
    append(&*bus, 0, &["later"]).await;
    let mut texts = Vec::new();
    while let Some(record) = whole.next().await.unwrap() {
        texts.push(text(&record));
    }
    assert_eq!(texts, ["a", "b", "c"]);
    let partition = Partition::new(TOPIC, 0);
    let mut part = Stretch::between(&*bus, partition, 1, 2).await.unwrap();
    assert_eq!(text(&part.next().await.unwrap().unwrap()), "b");
    assert!(part.next().await.unwrap().is_none());
    let mut empty = Stretch::whole(&*bus, Partition::new(TOPIC, 1)).await.unwrap();
    assert!(empty.next().await.unwrap().is_none(), "nothing is waited for");
}

#[tokio::test]
async fn a_stretch_whose_end_was_let_go_after_it_was_opened_ends_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bus = FaultyBus::over(log(folder.path()));
    append(&*bus.log, 0, &["a", "b"]).await;
    bus.promise(TOPIC, 3);
    let mut whole = Stretch::whole(&bus, Partition::new(TOPIC, 0)).await.unwrap();
    bus.promise(TOPIC, 0);
    let mut texts = Vec::new();
    let reading = async {
        while let Some(record) = whole.next().await.unwrap() {
            texts.push(text(&record));
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("it does not wait for what never comes");
    assert_eq!(texts, ["a", "b"]);
}

async fn texts_of(tail: &mut Tail, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let records = tokio::time::timeout(PATIENCE, tail.next()).await;
        seen.extend(records.unwrap().unwrap().iter().map(text));
    }
    seen.sort();
    seen
}

#[tokio::test]
async fn partitions_that_are_added_while_a_topic_is_followed_are_read_from_their_start() {
    let folder = tempfile::tempdir().unwrap();
    let bus: Arc<dyn Bus> = Arc::new(FaultyBus::over(log(folder.path())));
    append(&*bus, 0, &["old"]).await;
    let from = ends(&*bus, TOPIC).await.unwrap();
    let runtime = Runtime::new(bus.clone());
    let open = |follow| Tail::open(&runtime, follow, 4, brief(), Box::new(|_| {}));
    let mut topic = open(Follow::topics(from.clone()));
    let mut partitions = open(Follow::partitions(from));
    let grown = format!("pools: [default]\ntopics: [{{ name: {TOPIC}, partitions: 4 }}]");
    bus.apply(&Manifest::parse(&grown).unwrap()).await.unwrap();
    for (partition, text) in [(2, "first"), (2, "second"), (3, "other"), (0, "known")] {
        append(&*bus, partition, &[text]).await;
    }
    assert_eq!(
        texts_of(&mut topic, 4).await,
        ["first", "known", "other", "second"]
    );
    append(&*bus, 3, &["later"]).await;
    append(&*bus, 1, &["last"]).await;
    assert_eq!(texts_of(&mut topic, 2).await, ["last", "later"], "nothing twice");
    assert_eq!(texts_of(&mut partitions, 2).await, ["known", "last"]);
}

#[tokio::test]
async fn a_tail_of_a_topic_that_was_made_anew_ends_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(FaultyBus::over(log(folder.path())));
    append(&*bus, 0, &["a", "b"]).await;
    let from = Follow::topics([(Partition::new(TOPIC, 0), 0)]);
    let mut tail = Tail::open(&Runtime::new(bus.clone()), from, 4, brief(), Box::new(|_| {}));
    assert_eq!(texts_of(&mut tail, 2).await, ["a", "b"]);
    bus.promise(TOPIC, -1);
    let ended = tokio::time::timeout(PATIENCE, tail.next()).await.unwrap();
    let said = ended.unwrap_err().to_string();
    assert!(said.contains("test.topic-0 was read to offset 2"), "{said}");
}

#[tokio::test]
async fn a_tail_whose_reader_brings_nothing_says_so_and_reads_on_with_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(FaultyBus::over(log(folder.path())));
    append(&*bus, 0, &["a"]).await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let told = said.clone();
    let report = Box::new(move |state: Result<(), &str>| told.lock().extend(state.err().map(str::to_owned)));
    let from = Follow::topics([(Partition::new(TOPIC, 0), 0)]);
    let mut tail = Tail::open(&Runtime::new(bus.clone()), from, 4, brief(), report);
    assert_eq!(texts_of(&mut tail, 1).await, ["a"]);
    bus.be(Mood::Deaf);
    append(&*bus, 0, &["b"]).await;
    let silent = async {
        while said.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, silent).await.unwrap();
    let first = said.lock()[0].clone();
    assert!(
        first.contains("nothing comes of test.topic-0 behind offset 1"),
        "{first}"
    );
    bus.be(Mood::Works);
    append(&*bus, 0, &["c"]).await;
    assert_eq!(texts_of(&mut tail, 2).await, ["b", "c"]);
}

#[tokio::test]
async fn a_topic_whose_partitions_may_not_change_is_a_loud_end_once_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(Arc::new(FaultyBus::over(log(folder.path()))));
    let said = hold_partitions(&runtime, TOPIC, 6).await.unwrap_err().to_string();
    assert!(
        said.contains("has 2 partitions, and the topic manifest says 6"),
        "{said}"
    );
    let holding = hold_partitions(&runtime, TOPIC, 2);
    let grown = format!("pools: [default]\ntopics: [{{ name: {TOPIC}, partitions: 3 }}]");
    let grow = async {
        runtime
            .bus
            .apply(&Manifest::parse(&grown).unwrap())
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let said = tokio::select! {
        held = tokio::time::timeout(PATIENCE, holding) => held.unwrap().unwrap_err().to_string(),
        () = grow => unreachable!(),
    };
    assert!(said.contains("has 3 partitions"), "{said}");
}

#[tokio::test]
async fn a_tail_begins_at_the_ends_brings_what_comes_later_and_says_that_the_log_answers() {
    let folder = tempfile::tempdir().unwrap();
    let bus = log(folder.path());
    append(&*bus, 0, &["old"]).await;
    let from = ends(&*bus, TOPIC).await.unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let told = reports.clone();
    let report = Box::new(move |state: Result<(), &str>| told.lock().push(state.is_ok()));
    let mut tail = Tail::open(
        &Runtime::new(bus.clone()),
        Follow::topics(from),
        4,
        brief(),
        report,
    );
    append(&*bus, 0, &["new"]).await;
    append(&*bus, 1, &["other"]).await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let records = tokio::time::timeout(PATIENCE, tail.next())
            .await
            .unwrap()
            .unwrap();
        seen.extend(records.iter().map(text));
    }
    seen.sort();
    assert_eq!(seen, ["new", "other"]);
    assert!(reports.lock().iter().all(|answers| *answers));
    assert!(!reports.lock().is_empty());
}

#[tokio::test]
async fn the_log_is_asked_until_it_answers_and_what_waiting_does_not_mend_ends_it() {
    let health = Health::default();
    let mut asked = 0;
    let answer = retry_forever(&health, "bus", brief(), || {
        asked += 1;
        let answer = match asked {
            1 => Err(BusError::Unavailable("away".to_owned())),
            2 => Err(BusError::UnknownTopic("test".to_owned())),
            _ => Ok(7),
        };
        async { answer }
    });
    assert_eq!(answer.await.unwrap(), 7);
    assert!(health.is_ready());
    let fatal = retry_forever(&health, "bus", brief(), || async {
        Err::<(), _>(BusError::Fatal("broken".to_owned()))
    });
    assert!(matches!(fatal.await, Err(BusError::Fatal(_))));
}

#[tokio::test]
async fn messages_are_listened_for_and_questions_answered_until_it_is_dropped() {
    let control: Arc<dyn Control> = Arc::new(InProcessControl::new(InProcessOptions::default()));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let taken = heard.clone();
    let listening = tokio::spawn(listen_forever(
        control.clone(),
        "cancel".to_owned(),
        Chance::system(),
        move |cancel: Cancel| taken.lock().push(cancel.request_id.to_string()),
    ));
    let serving = tokio::spawn({
        let control = control.clone();
        async move {
            let nothing = |_: WinnerQuery| async {
                Some(WinnerAnswer {
                    outcome: None,
                    forgotten: false,
                    ..WinnerAnswer::default()
                })
            };
            serve_forever(control, "who".to_owned(), None, Chance::system(), nothing).await;
        }
    });
    let cancel = Cancel {
        request_id: "r".into(),
        tenant: "acme".into(),
        reason: "left".to_owned(),
    };
    let question = WinnerQuery {
        request_id: "r".into(),
    };
    let reached = async {
        while heard.lock().is_empty() {
            send(&*control, "cancel", cancel.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        loop {
            let answer =
                ask::<_, WinnerAnswer>(&*control, "who", &question, Duration::from_millis(200)).await;
            if let Ok(answer) = answer {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, reached).await.unwrap();
    assert_eq!(answer.outcome, None);
    assert_eq!(heard.lock()[0], "r");
    listening.abort();
    serving.abort();
}

#[tokio::test]
async fn probes_are_told_what_is_missing_and_metrics_only_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(log(folder.path()));
    let get = |metrics: bool, path: &'static str| {
        let router = ops_router(runtime.clone(), metrics);
        async move {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    };
    runtime.health.down("bus", "no broker");
    runtime.health.bypassed("redis", "refused");
    let (status, body) = get(true, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        body.contains(r#""missing":{"bus":"no broker"},"degraded":{}"#),
        "{body}"
    );
    runtime.health.degraded("models", "one is broken");
    runtime.health.up("bus");
    let (status, body) = get(true, "/readyz").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        body.contains(r#""status":"ready""#) && body.contains("bypassed: refused"),
        "{body}"
    );
    assert!(
        body.contains(r#""missing":{},"degraded":{"models":"one is broken"}"#),
        "{body}"
    );
    assert!(body.contains(r#""models":"degraded: one is broken""#), "{body}");
    runtime.shutdown.drain();
    let (status, body) = get(true, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""draining":true"#), "{body}");
    assert_eq!(get(true, "/healthz").await.0, StatusCode::OK);
    assert_eq!(get(true, "/metrics").await.0, StatusCode::OK);
    assert_eq!(get(false, "/metrics").await.0, StatusCode::NOT_FOUND);
}

/// Every listener has its probes from here, so both of a process say the same.
#[tokio::test]
async fn probes_say_the_same_with_metrics_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(log(folder.path()));
    runtime.health.degraded("models", "one is broken");
    for path in ["/healthz", "/readyz"] {
        let mut said = Vec::new();
        for metrics in [true, false] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = ops_router(runtime.clone(), metrics)
                .oneshot(request)
                .await
                .unwrap();
            let status = response.status();
            said.push((status, response.into_body().collect().await.unwrap().to_bytes()));
        }
        assert_eq!(said[0], said[1], "{path}");
    }
}
