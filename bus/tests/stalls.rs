//! A broker that says nothing for a while, as if by SIGSTOP: every kind of client works again once it goes on, without a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;
use std::time::Duration;

use relay_bus::testing::{apply, brokers, unique};
use relay_bus::{
    Bus, BusError, ConsumerEvent, Headers, KafkaBus, KafkaOptions, Outgoing, Partition, StartAt,
};

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than all of the clients' patience below.
const STALL: Duration = Duration::from_secs(12);

/// The broker, which goes on in any case.
struct Stalled;

impl Stalled {
    fn begin() -> Self {
        local("pause");
        Self
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        local("resume");
    }
}

fn local(verb: &str) {
    let script =
        std::env::var("RELAY_LOCAL").expect("RELAY_LOCAL is not set: run `make test`, which starts Kafka");
    let done = Command::new("python3")
        .arg(script)
        .args([verb, "kafka"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Asks until there is an answer.
async fn until<T>(mut ask: impl AsyncFnMut() -> Result<T, BusError>) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) if error.may_pass() => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.expect("it works again")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_works_again_after_a_stall_in_which_it_was_replaced() {
    let brief = Duration::from_secs(1);
    let options = KafkaOptions {
        publish_timeout: brief,
        request_timeout: brief,
        replace_after: 2 * brief,
        ..KafkaOptions::new(brokers())
    };
    let bus = KafkaBus::connect(options, &relay_clock::Clock::system()).unwrap();
    let metrics = prometheus::Registry::new();
    bus.register(&metrics).unwrap();
    let topic = unique("stall");
    apply(&bus, &format!("name: {topic}, partitions: 1")).await;
    let partition = Partition::new(&topic, 0);
    let put = async || {
        let record = Outgoing::to_partition(&partition, Headers::default(), "v");
        bus.publish(vec![record], Vec::new()).await
    };
    put().await.unwrap();
    let mut reader = bus.read(vec![(partition.clone(), StartAt::Start)]).await.unwrap();
    let mut member = bus
        .subscribe(&format!("{topic}.g"), std::slice::from_ref(&topic))
        .await
        .unwrap();
    let mut read = until(async || reader.next().await).await.len();
    until(async || member.next().await).await;
    {
        let _stalled = Stalled::begin();
        let began = std::time::Instant::now();
        while began.elapsed() < STALL {
            let answers = tokio::join!(
                put(),
                bus.partitions(&topic),
                tokio::time::timeout(brief, reader.next()),
                tokio::time::timeout(brief, member.next()),
            );
            assert!(answers.0.is_err() && answers.1.is_err(), "{answers:?}");
        }
    }
    until(async || bus.probe().await).await;
    until(async || bus.committed("nobody", &partition).await).await;
    until(async || bus.range(&partition).await).await;
    until(put).await;
    let end = until(async || bus.range(&partition).await).await.high;
    while (read as i64) < end {
        read += until(async || reader.next().await).await.len();
    }
    let mut delivered = 0;
    while delivered < end {
        match until(async || member.next().await).await {
            ConsumerEvent::Records(records) => delivered = records.last().unwrap().position.offset + 1,
            ConsumerEvent::Assigned(_) | ConsumerEvent::Revoked(_) => {}
        }
    }
    let replaced = |client: &str| {
        let families = metrics.gather();
        let mut counters = families
            .iter()
            .flat_map(prometheus::proto::MetricFamily::get_metric);
        let counter = counters.find(|counter| counter.get_label()[0].value() == client);
        counter.unwrap().get_counter().get_value()
    };
    for client in ["producer", "questions"] {
        assert!(replaced(client) > 0.0, "{client} was not replaced");
    }
}
