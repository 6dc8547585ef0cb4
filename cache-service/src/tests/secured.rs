//! Redis with TLS, a certificate of ours and a password: used with the right ones, and told what to mend with others. The harness
//! gives it a port of that kind, with an authority of its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use relay_clock::Clock;
use relay_runner::Health;

use crate::config::{BreakerConfig, RedisConfig};
use crate::error::Error;
use crate::levels::RedisLevel;
use crate::metrics::Metrics;

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts Redis"))
}

/// A file of the throw-away authority.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(environment("RELAY_SERVERS_DIR")).join("authority");
    folder.join(name)
}

/// Everything right, but for the password.
fn entered_by(password: &str) -> RedisConfig {
    let address = environment("RELAY_REDIS_TLS");
    RedisConfig {
        root_certificates: Some(file("ca.pem")),
        client_certificate: Some(file("client.pem")),
        client_key: Some(file("client.key")),
        timeout: Duration::from_secs(5),
        // Each question is a trial.
        breaker: BreakerConfig {
            failures: 1,
            pause: Duration::ZERO,
        },
        ..RedisConfig::at(format!("rediss://relay:{password}@{address}"))
    }
}

fn right() -> RedisConfig {
    let password = file("password");
    entered_by(&std::fs::read_to_string(password).expect("the harness wrote it"))
}

fn level(config: &RedisConfig) -> Result<(RedisLevel, Health), Error> {
    let metrics = Metrics::register(&prometheus::Registry::new()).expect("fresh");
    let health = Health::default();
    Ok((
        RedisLevel::new(config, 4_096, Clock::system(), metrics, health.clone())?,
        health,
    ))
}

/// Asks until there is an answer, or `/readyz` says `cure`.
async fn says(config: RedisConfig, cure: &str) {
    let (redis, health) = level(&config).expect("it can work");
    let began = Instant::now();
    loop {
        let answer = redis.get("a-key").await;
        let told = health.told().remove("redis");
        if answer.is_ok() && cure.is_empty() {
            return;
        }
        if let Some(said) = told {
            assert!(!said.contains("wrong-secret"), "{said}");
            if !cure.is_empty() && said.contains(cure) {
                return;
            }
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{answer:?}, {:?} does not say {cure}",
            health.told()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn tls_a_certificate_and_a_password_are_let_in() {
    says(right(), "").await;
}

#[tokio::test]
async fn an_authority_that_did_not_sign_the_server_is_told_with_what_to_mend() {
    let config = RedisConfig {
        root_certificates: Some(file("other-ca.pem")),
        ..right()
    };
    says(config, "name its authority in `root_certificates`").await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_what_to_mend_and_without_it() {
    says(
        entered_by("wrong-secret"),
        "mend user and password in `cache_service.redis.url`",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_of_ours_says_so() {
    let config = RedisConfig {
        client_certificate: None,
        client_key: None,
        ..right()
    };
    says(config, "`client_certificate` and `client_key`").await;
}

#[test]
fn certificates_that_cannot_be_used_are_refused_at_once() {
    let refused = |config: RedisConfig| {
        let error = level(&config).err().expect("it can never work");
        error.to_string()
    };
    let absent = RedisConfig {
        root_certificates: Some(file("no-such.pem")),
        ..right()
    };
    let said = refused(absent);
    assert!(
        said.starts_with("cache_service.redis.root_certificates: "),
        "{said}"
    );
    let plain = RedisConfig {
        url: "redis://127.0.0.1:1".into(),
        ..right()
    };
    assert_eq!(
        refused(plain),
        "cache_service.redis.url has no TLS, for which the certificates beside it are; use rediss://"
    );
}
