//! What the production sample shows as comments works as it stands, on servers with TLS, passwords and certificates.

use std::time::{Duration, Instant};

use relay_bus::{Bus as _, KafkaBus};
use relay_clock::Clock;
use relay_control::{Control as _, NatsControl};
use relay_store::{Database as _, PostgresStore};

use crate::load::parse_text;
use crate::seams::{BusConfig, ControlConfig, StoreConfig};

/// The production sample with the keys that stand there as comments, and secrets where the harness has them.
fn secured(secrets: &str) -> String {
    let is_key = |text: &str| {
        let is_name = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
        };
        text.trim_start()
            .split_once(':')
            .is_some_and(|(name, value)| is_name(name) && (value.is_empty() || value.starts_with(' ')))
    };
    let uncommented = |line: &str| match line.split_once("# ") {
        Some((indent, text)) if indent.trim().is_empty() && is_key(text) => format!("{indent}{text}\n"),
        _ => format!("{line}\n"),
    };
    let sample = include_str!("../../deploy/relay.production.yaml");
    sample
        .lines()
        .map(uncommented)
        .collect::<String>()
        .replace("/run/secrets", secrets)
}

/// Tries until it works, for a minute.
async fn works<E: std::fmt::Debug>(what: &str, try_it: impl AsyncFn() -> Result<(), E>) {
    let began = Instant::now();
    while let Err(error) = try_it().await {
        assert!(began.elapsed().as_secs() < 60, "{what}: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_that_secure_the_production_sample_work_as_they_stand() {
    let environment = |name: &str| {
        std::env::var(name)
            .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the servers"))
    };
    let secrets = format!("{}/authority", environment("RELAY_SERVERS_DIR"));
    let password = std::fs::read_to_string(format!("{secrets}/password")).expect("the harness wrote it");
    let ours = format!("sslcert={secrets}/client.pem&sslkey={secrets}/client.key");
    let config = parse_text(&secured(&secrets), |name| match name {
        "KAFKA_PASSWORD" | "NATS_PASSWORD" => Some(password.clone()),
        "RELAY_KAFKA_BROKERS" => Some(environment("RELAY_KAFKA_SCRAM")),
        "RELAY_NATS_URL" => Some(format!("tls://{}", environment("RELAY_NATS_TLS"))),
        "RELAY_REDIS_URL" => Some(format!(
            "rediss://relay:{password}@{}",
            environment("RELAY_REDIS_TLS")
        )),
        "RELAY_POSTGRES_URL" => Some(format!(
            "postgres://relay:{password}@{}?sslmode=verify-full&sslrootcert={secrets}/ca.pem&{ours}",
            environment("RELAY_POSTGRES_TLS")
        )),
        _ => None,
    });
    let config = config.expect("it parses with its comments");
    let (BusConfig::Kafka(kafka), ControlConfig::Nats(nats), StoreConfig::Postgres(postgres)) =
        (config.bus, config.control, config.store)
    else {
        panic!("it is the production column")
    };
    assert!(
        kafka.properties.len() > 7 && nats.client_key.is_some(),
        "its comments were read"
    );
    let redis = config.cache_service.redis.expect("it names Redis");
    assert!(redis.client_key.is_some(), "its comments were read");
    let bus = KafkaBus::connect(kafka, &Clock::system()).expect("librdkafka takes them");
    works("Kafka", async || bus.probe().await).await;
    let control = NatsControl::connect(*nats).await.expect("NATS takes them");
    works("NATS", async || control.probe().await).await;
    let store = PostgresStore::connect(postgres).expect("a URL");
    works("Postgres", async || store.probe().await).await;
}
