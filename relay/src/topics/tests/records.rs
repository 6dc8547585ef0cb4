use serde_json::json;

use super::*;
use crate::topics::ask::Read;

fn newest(number: usize) -> Read {
    Read {
        newest: Some(number),
        ..Read::default()
    }
}

#[tokio::test]
async fn the_newest_records_of_all_partitions_come_in_the_order_in_which_the_log_took_them() {
    let house = House::new();
    for number in 0..9 {
        house
            .publish(vec![record(
                "t",
                number % 3,
                format!("k{number}").as_bytes(),
                "v",
            )])
            .await;
        // Two records of one millisecond have no order between partitions.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let keys = |items: &[Value]| -> Vec<String> {
        items
            .iter()
            .map(|item| item["key"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let four = house
        .ask(Ask::Read("t".to_owned(), newest(4)))
        .await
        .expect("an answer");
    assert_eq!(keys(&four), ["k5", "k6", "k7", "k8"]);
    let all = house
        .ask(Ask::Read("t".to_owned(), newest(50)))
        .await
        .expect("an answer");
    assert_eq!(all.len(), 9);
    let refused = house
        .ask(Ask::Read("t".to_owned(), newest(0)))
        .await
        .expect_err("none");
    assert!(refused.contains("1 to 10000"), "{refused}");
}

#[tokio::test]
async fn keys_are_printed_as_text_and_others_marked() {
    let house = House::new();
    house
        .publish(vec![
            record("t", 0, "größe".as_bytes(), "v"),
            record("t", 0, b"\xff\x01", "v"),
        ])
        .await;
    let read = house
        .ask(Ask::Read("t".to_owned(), Read::default()))
        .await
        .expect("an answer");
    assert_eq!(read[0]["key"], json!("größe"));
    assert_eq!(read[1]["key"], json!({"not_utf8": "\\xff\\x01"}));
}

#[tokio::test]
async fn a_follower_hears_what_there_is_and_what_comes() {
    let house = House::new();
    house.publish(vec![record("t", 0, b"before", "v")]).await;
    let read = Read {
        follow: true,
        ..Read::default()
    };
    let mut answer = house.keeper.ask(Ask::Read("t".to_owned(), read), me());
    let mut keys = Vec::new();
    while keys.len() < 3 {
        let Some(Line::Item(item)) = answer.recv().await else {
            panic!("a follower goes on");
        };
        keys.push(item["key"].as_str().unwrap_or_default().to_owned());
        if keys.len() < 3 {
            let next = format!("after {}", keys.len());
            house
                .publish(vec![record("t", keys.len() as i32, next.as_bytes(), "v")])
                .await;
        }
    }
    assert_eq!(keys, ["before", "after 1", "after 2"]);
}

#[tokio::test]
async fn offsets_say_which_topic_of_the_manifest_is_not_there() {
    let house = House::new();
    house.publish(vec![record("t", 1, b"k", "v")]).await;
    let mut manifest = house.keeper.manifest.clone();
    let mut missing = manifest.topics[0].clone();
    missing.name = "missing".to_owned();
    manifest.topics.push(missing);
    let (bus, clock) = (house.keeper.bus.clone(), house.keeper.clock.clone());
    let keeper = Arc::new(Keeper::new(bus, manifest.clone(), clock));
    let items = all(keeper.ask(Ask::Offsets, me())).await.expect("an answer");
    assert!(items.contains(&json!({"topic": "t", "partition": 1, "low": 0, "high": 1})));
    assert!(items.contains(&json!({"topic": "missing", "missing": true})));
    let applied = all(keeper.ask(Ask::Apply(manifest), me()))
        .await
        .expect("an answer");
    assert!(applied.contains(&json!({"did": "t: unchanged"})), "{applied:?}");
    assert!(
        applied.contains(&json!({"did": "missing: created, 3 partitions"})),
        "{applied:?}"
    );
}
