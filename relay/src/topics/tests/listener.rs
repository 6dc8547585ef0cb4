use std::time::Duration;

use axum::Router;
use axum::body::Body;
use relay_runner::Runtime;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::ops::{Bound, OpsConfig};
use crate::topics::ask::{Letters, Read, Selection};
use crate::topics::door;
use crate::topics::running::Running;

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves the house's log on an operators' listener, as `relay up` does.
async fn served(house: &House, most: usize) -> Running {
    let log = house.folder.path().join(crate::seams::LOG);
    let config = OpsConfig {
        port: 0,
        ..OpsConfig::default()
    };
    let router: Router = door::router(Arc::clone(&house.keeper), &log, most);
    let bound = Bound::bind(&config).await.expect("bound");
    let ops = bound.serving(&config, &Runtime::new(house.keeper.bus.clone()), Some(router));
    let port = ops.address().expect("bound").port();
    tokio::spawn(ops.serve());
    Running {
        ops: OpsConfig { port, ..config },
        log: door::log_id(&log),
        held: "the log is in use by process 1".to_owned(),
    }
}

async fn asked(running: &Running, ask: Ask) -> Result<Vec<Value>, String> {
    match running.ask(&ask, "alice (uid 7)").await {
        Ok(answer) => all(answer).await,
        Err(error) => Err(format!("{error:#}")),
    }
}

#[tokio::test]
async fn whoever_asks_beside_a_running_relay_hears_the_same_as_in_it() {
    let house = House::new();
    let running = served(&house, 4).await;
    house
        .publish(vec![
            record("t", 0, b"k/\xff &", "v"),
            record("relay.dead-letters.v1", 0, b"k", "x"),
        ])
        .await;
    let read = || Read {
        newest: Some(2),
        ..Read::default()
    };
    for ask in [
        Ask::Offsets,
        Ask::Read("t".to_owned(), read()),
        Ask::Read("no such/topic".to_owned(), Read::default()),
        Ask::Letters(Letters::default()),
        Ask::Apply(house.keeper.manifest.clone()),
        Ask::Discard(Selection::default()),
    ] {
        let here = house.ask(ask.clone()).await;
        assert_eq!(asked(&running, ask.clone()).await, here, "{ask:?}");
    }
    let every = Selection {
        every: true,
        ..Selection::default()
    };
    let done = asked(&running, Ask::Discard(every))
        .await
        .expect("it is discarded");
    assert_eq!(done, [json!({"letter": "0/0", "did": "discarded"})]);
    let closed = Letters {
        all: true,
        ..Letters::default()
    };
    let listed = asked(&running, Ask::Letters(closed)).await.expect("a list");
    assert_eq!(listed[0]["closed"]["by"], "alice (uid 7)");
}

#[tokio::test]
async fn a_running_relay_takes_no_manifest_but_its_own() {
    let house = House::new();
    let running = served(&house, 4).await;
    house.publish(vec![record("t", 0, b"k", "v")]).await;
    let own = house.keeper.manifest.clone();
    let mut shorter = own.clone();
    let requests = shorter
        .topics
        .iter_mut()
        .find(|topic| topic.name == "relay.requests.v1");
    requests.expect("it is one of them").retention = Some(Duration::from_secs(1));
    let mut fewer = own.clone();
    fewer.topics.remove(0);
    for (other, differs) in [(shorter, "relay.requests.v1"), (fewer, "t")] {
        let refused = asked(&running, Ask::Apply(other)).await.expect_err("another one");
        assert!(
            refused.contains("its configuration names another manifest")
                && refused.contains(&format!("({differs} differs)"))
                && refused.contains("start it anew"),
            "{refused}"
        );
    }
    let applied = asked(&running, Ask::Apply(own)).await.expect("its own");
    assert!(
        applied.contains(&json!({"did": "relay.requests.v1: unchanged"})),
        "{applied:?}"
    );
}

#[tokio::test]
async fn where_no_reader_may_be_the_log_has_no_routes() {
    let house = House::new();
    let running = served(&house, 0).await;
    for ask in [
        Ask::Offsets,
        Ask::Apply(house.keeper.manifest.clone()),
        Ask::Letters(Letters::default()),
        Ask::Discard(Selection::default()),
    ] {
        let refused = asked(&running, ask).await.expect_err("nothing is served");
        assert!(refused.contains("ops.max_log_readers"), "{refused}");
    }
}

#[tokio::test]
async fn a_follower_hears_what_comes_by_the_listener_too_and_places_are_counted() {
    let house = House::new();
    let running = served(&house, 1).await;
    house.publish(vec![record("t", 0, b"before", "v")]).await;
    let follow = Read {
        follow: true,
        ..Read::default()
    };
    let ask = Ask::Read("t".to_owned(), follow);
    let mut answer = running.ask(&ask, "me").await.expect("it follows");
    for (number, key) in ["before", "after"].into_iter().enumerate() {
        let Some(Line::Item(item)) = answer.recv().await else {
            panic!("a follower goes on");
        };
        assert_eq!(item["key"], key);
        if number == 0 {
            house.publish(vec![record("t", 1, b"after", "v")]).await;
        }
    }
    let refused = asked(&running, Ask::Offsets).await.expect_err("one at a time");
    assert!(refused.contains("ops.max_log_readers"), "{refused}");
    drop(answer);
    // Its place is free once the listener has seen that nobody takes the answer.
    let free = async {
        while asked(&running, Ask::Offsets).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("a place that is free again");
}

#[tokio::test]
async fn a_page_of_another_origin_closes_no_letter() {
    let house = House::new();
    let running = served(&house, 4).await;
    house
        .publish(vec![record("relay.dead-letters.v1", 0, b"k", "x")])
        .await;
    let (host, port) = running.ops.to_ask();
    let mut stream = TcpStream::connect((host, port)).await.expect("it listens");
    let body = r#"{"every":true}"#;
    let request = format!(
        "POST /admin/dead-letters/discard HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nSec-Fetch-Site: cross-site\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("answered");
    assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    let open = house.ask(Ask::Letters(Letters::default())).await.expect("a list");
    assert_eq!(open.len(), 1);
}

#[tokio::test]
async fn a_relay_with_another_log_or_none_at_all_says_what_to_do() {
    let house = House::new();
    let mut running = served(&house, 4).await;
    running.log = Some("0:0".to_owned());
    let refused = asked(&running, Ask::Offsets).await.expect_err("another log");
    assert!(
        refused.contains("another log") && refused.contains("--admin-port"),
        "{refused}"
    );
    running.log = None;
    assert!(
        asked(&running, Ask::Offsets).await.is_ok(),
        "a person with curl names none"
    );

    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    running.ops.port = free.local_addr().expect("bound").port();
    drop(free);
    let refused = asked(&running, Ask::Offsets).await.expect_err("nobody listens");
    assert!(
        refused.contains("in use by process 1") && refused.contains("--admin-port"),
        "{refused}"
    );

    // Another program, or a Relay that is older.
    let other = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    running.ops.port = other.local_addr().expect("bound").port();
    tokio::spawn(async move { axum::serve(other, Router::new()).await });
    let refused = asked(&running, Ask::Offsets).await.expect_err("it knows nothing");
    assert!(refused.contains("another version"), "{refused}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_an_error() {
    let house = House::new();
    let mut running = served(&house, 4).await;
    let cut = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    running.ops.port = cut.local_addr().expect("bound").port();
    let half = axum::routing::get(|| async { Body::from("{\"topic\":\"t\"}\n{\"top") });
    tokio::spawn(async move { axum::serve(cut, Router::new().route("/admin/topics", half)).await });
    let refused = asked(&running, Ask::Offsets).await.expect_err("no end");
    assert!(refused.contains("broke off"), "{refused}");
}
