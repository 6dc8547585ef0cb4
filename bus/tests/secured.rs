//! Brokers that speak TLS and ask who comes: with a user and SCRAM-SHA-512, and with a certificate. The harness starts both
//! listeners, with an authority of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use relay_bus::testing::{apply, unique};
use relay_bus::{Bus, BusError, Headers, KafkaBus, KafkaOptions, Outgoing, Partition, StartAt};
use relay_clock::Clock;

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts Kafka"))
}

/// A file of the throw-away authority.
fn file(name: &str) -> String {
    format!("{}/authority/{name}", environment("RELAY_SERVERS_DIR"))
}

fn password() -> String {
    std::fs::read_to_string(file("password")).unwrap()
}

fn options(brokers: &str, properties: &[(&str, String)]) -> KafkaOptions {
    let mut options = KafkaOptions::new(environment(brokers));
    options.request_timeout = Duration::from_secs(2);
    options.publish_timeout = Duration::from_secs(2);
    let properties = properties.iter();
    options.properties = properties
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect();
    options
}

/// As `deploy/relay.production.yaml` shows it.
fn scram(password: String, authority: &str) -> KafkaOptions {
    let properties = [
        ("security.protocol", "sasl_ssl".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", "relay".to_owned()),
        ("sasl.password", password),
        ("ssl.ca.location", file(authority)),
    ];
    options("RELAY_KAFKA_SCRAM", &properties)
}

fn mutual(authority: &str, is_shown: bool) -> KafkaOptions {
    let mut properties = vec![
        ("security.protocol", "ssl".to_owned()),
        ("ssl.ca.location", file(authority)),
    ];
    if is_shown {
        properties.push(("ssl.certificate.location", file("client.pem")));
        properties.push(("ssl.key.location", file("client.key")));
    }
    options("RELAY_KAFKA_MUTUAL", &properties)
}

/// Makes a topic, publishes to it, and reads it as a reader and as a member of a group.
async fn is_served(mut options: KafkaOptions) {
    // A busy machine: what is shown here is not speed.
    options.request_timeout = PATIENCE;
    options.publish_timeout = PATIENCE;
    options
        .properties
        .insert("producer.compression.type".to_owned(), "zstd".into());
    let bus = KafkaBus::connect(options, &Clock::system()).unwrap();
    let name = unique("secured");
    apply(&bus, &format!("name: {name}, partitions: 1")).await;
    let text = "a text that zstd makes smaller ".repeat(100);
    let partition = Partition::new(&name, 0);
    let record = Outgoing::to_partition(&partition, Headers::default(), text.clone());
    bus.publish(vec![record], Vec::new()).await.unwrap();
    let mut reader = bus.read(vec![(partition, StartAt::Start)]).await.unwrap();
    let read = tokio::time::timeout(PATIENCE, reader.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read[0].value.as_deref(), Some(text.as_bytes()));
    let mut member = bus.subscribe(&unique("g"), &[name]).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, member.next()).await.unwrap();
    event.unwrap();
}

/// What is said by whoever asks, and by whoever publishes.
async fn says(options: KafkaOptions, cures: &[&str]) {
    let bus = KafkaBus::connect(options, &Clock::system()).unwrap();
    let began = Instant::now();
    let explains = |said: &str| cures.iter().all(|cure| said.contains(cure));
    loop {
        let record = Outgoing::keyed("t", "k", Headers::default(), "v");
        let (asked, published) = tokio::join!(bus.probe(), bus.publish(vec![record], Vec::new()));
        let said = [asked.unwrap_err(), published.unwrap_err()].map(|error| match error {
            BusError::Unavailable(said) => said,
            error => panic!("credentials can be mended while this process runs: {error:?}"),
        });
        for said in &said {
            assert!(!said.contains("wrong-secret"), "{said}");
        }
        if said.iter().all(|said| explains(said)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{said:?} does not say {cures:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_scram_over_tls_is_served() {
    is_served(scram(password(), "ca.pem")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ours_is_served() {
    is_served(mutual("ca.pem", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_with_what_to_mend_and_without_it() {
    let cures = [
        "invalid credentials",
        "mend `sasl.mechanism` and the credentials",
        "`bus.properties`",
    ];
    says(scram("wrong-secret".to_owned(), "ca.pem"), &cures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_signed_no_broker_is_told_with_what_to_mend() {
    let cures = ["certificate verify failed", "ssl.ca.location", "`bus.properties`"];
    for options in [scram(password(), "other-ca.pem"), mutual("other-ca.pem", true)] {
        says(options, &cures).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_want_a_certificate_are_told_apart_from_dead_ones() {
    let cures = ["certificate", "`ssl.certificate.location`", "`bus.properties`"];
    says(mutual("ca.pem", false), &cures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_security_protocol_is_named_where_no_broker_ever_answered() {
    let cures = ["look at `bus.brokers`, and at `security.protocol` in `bus.properties`"];
    says(options("RELAY_KAFKA_SCRAM", &[]), &cures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_refused_at_once() {
    let refused = KafkaBus::connect(mutual("no-such.pem", false), &Clock::system()).err();
    let Some(BusError::Fatal(said)) = refused else {
        panic!("it can never work: {refused:?}");
    };
    assert!(
        said.contains("ssl.ca.location") && said.contains("mend `bus.properties`"),
        "{said}"
    );
}
