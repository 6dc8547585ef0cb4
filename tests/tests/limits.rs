//! What the system allows is less than what comes: a gateway gets slower then, never wrong, and never falls.

use std::time::Duration;

use relay_tests::gateway::{Gateway, KILLABLE};
use relay_tests::hostile::{self, Hostile, Windows};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends one request on a connection of its own, and returns the status line.
async fn asked_on_its_own_connection(address: String, number: usize) -> anyhow::Result<String> {
    let body =
        json!({"messages": [{"role": "user", "content": format!("limit {number}")}], "temperature": 1.0})
            .to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// How many files and sockets the gateway has open.
fn descriptors(gateway: &Gateway) -> usize {
    let folders = gateway
        .process_ids()
        .into_iter()
        .map(|id| format!("/proc/{id}/fd"));
    folders
        .map(|folder| std::fs::read_dir(folder).map_or(0, Iterator::count))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_neither_clients_nor_operators_out() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "5"]).expect("it is prepared");
    gateway.under("ulimit -n 260");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let mut held = Vec::new();
    for url in [&gateway.base_url, &gateway.ops_url] {
        // More than there are places.
        for said in ["", "PRI * HT"].repeat(100) {
            let mut stream = TcpStream::connect(url.trim_start_matches("http://"))
                .await
                .expect("it listens");
            stream.write_all(said.as_bytes()).await.expect("sent");
            held.push(stream);
        }
    }
    for url in [&gateway.base_url, &gateway.ops_url] {
        let healthy = format!("{url}/healthz");
        let healthy = relay_tests::http::get(&healthy);
        // Well before the first of them has had its ten seconds for headers.
        let healthy = tokio::time::timeout(Duration::from_secs(9), healthy).await;
        let healthy = healthy
            .expect("it is answered before that")
            .expect("it is answered");
        assert!(healthy.status().is_success());
    }
    drop(held);
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_low_descriptor_limit_four_hundred_connections_wait_and_are_all_answered() {
    let mut gateway = Gateway::prepare(KILLABLE, &["--token-ms", "5"]).expect("it is prepared");
    gateway.under("ulimit -n 260");
    gateway.run(None).expect("it starts");
    gateway.ready().await.expect("it is ready");
    let address = gateway.base_url.trim_start_matches("http://").to_owned();
    let asked: Vec<_> = (0..400)
        .map(|number| tokio::spawn(asked_on_its_own_connection(address.clone(), number)))
        .collect();
    // While they wait, operators are heard: their listener has places of its own.
    let ready = relay_tests::http::get(&format!("{}/readyz", gateway.ops_url)).await;
    assert!(
        ready
            .expect("the operators' listener answers")
            .status()
            .is_success()
    );
    // And the log finds a descriptor whenever it needs one.
    for _ in 0..20 {
        let open = descriptors(&gateway);
        assert!(open < 230, "{open} of 260 descriptors are taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for asked in asked {
        let status = tokio::time::timeout(Duration::from_secs(60), asked).await;
        let status = status
            .expect("it is answered")
            .expect("it ends")
            .expect("it is connected");
        assert_eq!(status, "HTTP/1.1 200 OK", "{}", gateway.tail());
    }
    assert!(!gateway.ended(), "{}", gateway.tail());
    gateway.stop().expect("it drains");
}

#[tokio::test(flavor = "multi_thread")]
async fn light_tenants_are_answered_beside_a_bank_of_failed_prompts_and_beside_closed_windows() {
    // How fast is for `make prove` to say, on a machine that has nothing else to do.
    let windows = Windows {
        repeats: 1,
        alone: Duration::from_millis(500),
        beside: Duration::from_secs(1),
    };
    for hostile in [Hostile::Bank, Hostile::ClosedWindows] {
        let seen = hostile::beside(hostile, windows).await;
        seen.unwrap_or_else(|error| panic!("{hostile}: {error:#}"));
    }
}
