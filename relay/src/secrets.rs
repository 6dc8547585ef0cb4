//! Nothing that is printed shows a secret: neither the effective configuration, nor a refusal of it.

use std::path::Path;

use relay_bus::{KafkaBus, KafkaOptions};
use relay_control::{NatsControl, NatsOptions};
use relay_store::{PostgresOptions, PostgresStore};
use relay_workers::models::Models;

use crate::config::Config;
use crate::load::parse_text;

/// In the place of every secret.
const SECRET: &str = "s3cr3t";

/// Every setting that may hold one.
const CONFIGURATION: &str = "
bus: {kind: kafka, brokers: 'b:9092', properties: {sasl.password: s3cr3t, consumer.ssl.key.pem: s3cr3t}}
control: {kind: nats, url: 'nats://u:s3cr3t@n:4222', user: u, password: s3cr3t, token: s3cr3t}
store: {kind: postgres, url: 'postgres://u:s3cr3t@p:5432/relay'}
cache_service: {redis: {url: 'rediss://u:s3cr3t@r:6379'}}
";

const MODELS: &str = "
models:
  m: {backend: openai, base_url: 'https://u:s3cr3t@m/v1', upstream_model: x, api_key_env: KEY}
";

fn shows_nothing(what: &str, shown: &str) {
    assert!(!shown.contains(SECRET), "{what} shows a secret: {shown}");
}

fn config() -> Config {
    parse_text(CONFIGURATION, |_| None).expect("it parses")
}

#[test]
fn the_whole_configuration_can_be_printed() {
    let config = config();
    let models = Models::parse(MODELS, Path::new("models.yaml")).expect("it parses");
    for shown in [format!("{config:?}{models:?}"), format!("{config:#?}{models:#?}")] {
        shows_nothing("the configuration", &shown);
        assert_eq!(
            shown.matches("(secret)").count(),
            8,
            "each of them is there, hidden: {shown}"
        );
    }
}

#[test]
fn a_secret_that_is_no_text_is_refused_without_being_shown() {
    for (place, number) in [
        ("password: s3cr3t", "password: 421337"),
        ("token: s3cr3t", "token: 421337"),
    ] {
        let text = CONFIGURATION.replace(place, number);
        let error = parse_text(&text, |_| None).expect_err("a number is no text");
        let error = format!("{error:#} {error:?}");
        assert!(
            error.contains("put it in quotes") && !error.contains("421337"),
            "{error}"
        );
    }
    let text = MODELS.replace("'https://u:s3cr3t@m/v1'", "421337");
    let error = Models::parse(&text, Path::new("models.yaml")).expect_err("a number is no text");
    let error = format!("{error} {error:?}");
    assert!(
        error.contains("put it in quotes") && !error.contains("421337"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_connected_says_so_without_the_secret() {
    let nats = NatsOptions::new("nats://u:s3cr3t@n:no-port");
    let nats = NatsControl::connect(nats).await.err().expect("no port");
    let postgres = PostgresOptions::new("postgres://u:s3cr3t@p:no-port/relay");
    let postgres = PostgresStore::connect(postgres).err().expect("no port");
    let mut kafka = KafkaOptions::new("b:9092");
    kafka
        .properties
        .insert("security.protocol".to_owned(), SECRET.into());
    let kafka = KafkaBus::connect(kafka, &relay_clock::Clock::system())
        .err()
        .expect("no such protocol");
    let model = MODELS.replace("@m/v1", "@m:no-port/v1");
    let model = Models::parse(&model, Path::new("models.yaml")).expect_err("no port");
    for (what, shown) in [
        ("NATS", format!("{nats} {nats:?}")),
        ("Postgres", format!("{postgres} {postgres:?}")),
        ("Kafka", format!("{kafka} {kafka:?}")),
        ("a model", format!("{model} {model:?}")),
    ] {
        shows_nothing(what, &shown);
    }
    assert!(kafka.to_string().contains("security.protocol"), "{kafka}");
}
