//! What the settings of Kafka, NATS, Redis and Postgres show before any of them is asked: files that are not there, addresses that are
//! none, properties that no client takes. Says no secret.

use std::path::Path;

use relay_control::ControlError;
use relay_store::StoreError;

use crate::config::Config;
use crate::findings::Problem;
use crate::hosted::{Hosted, HostedService};
use crate::seams::{BusConfig, ControlConfig, StoreConfig};

const WHERE: &str = "name a file that is there; in a file, a path is relative to that file";

/// All of it, for the services that are to run.
pub(super) fn check(config: &Config, hosted: &Hosted) -> Vec<Problem> {
    let mut found: Vec<Problem> = data(config).into_iter().collect();
    if let BusConfig::Kafka(kafka) = &config.bus {
        found.extend(self::kafka(kafka));
    }
    if let ControlConfig::Nats(nats) = &config.control {
        found.extend(self::nats(nats));
    }
    if let Some(redis) = &config.cache_service.redis
        && hosted.has(HostedService::CacheService)
        && let Err(error) = relay_cache_service::check_redis(redis)
    {
        found.push(said("cache_service.redis", &error.to_string()));
    }
    if let StoreConfig::Postgres(postgres) = &config.store
        && hosted.has(HostedService::TraceSink)
        && let Err(StoreError::Fatal(wrong)) = postgres.check()
    {
        let remedy = "write postgres://user:password@host:5432/database";
        found.push(Problem::new("store.url", wrong, remedy));
    }
    found
}

fn data(config: &Config) -> Option<Problem> {
    let data = &config.data;
    let problem = format!("{} is a file, where a folder is needed", data.display());
    data.is_file().then(|| {
        Problem::new(
            "data",
            problem,
            "name a folder (--data, RELAY_DATA); it need not be there yet",
        )
    })
}

fn kafka(kafka: &relay_bus::KafkaOptions) -> Vec<Problem> {
    let key = |name: &str| format!("bus.properties.{name}");
    let properties = kafka.properties.iter();
    let paths = properties.filter(|(name, path)| name.ends_with(".location") && path.expose() != "probe");
    let lost = paths.filter(|(_, path)| !Path::new(path.expose()).exists());
    let mut found: Vec<Problem> = lost
        .map(|(name, _)| Problem::new(key(name), "the file that it names is not there", WHERE))
        .collect();
    for (name, why) in kafka.refused_properties() {
        let key = key(name);
        if !found.iter().any(|problem| problem.key == key) {
            found.push(Problem::new(key, why, "see librdkafka's CONFIGURATION.md"));
        }
    }
    found
}

fn nats(nats: &relay_control::NatsOptions) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(file) = nats.credentials_file.as_ref().filter(|file| !file.is_file()) {
        let problem = format!("there is no file {}", file.display());
        found.push(Problem::new("control.credentials_file", problem, WHERE));
    }
    if let Err(ControlError::Unavailable(wrong)) = nats.check() {
        found.push(said("control", &wrong));
    }
    found
}

/// What somebody else says of a section, in words that may begin with the key.
fn said(section: &str, wrong: &str) -> Problem {
    let in_key = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    let end = wrong.find(|c| !in_key(c)).unwrap_or(wrong.len());
    let (key, rest) = wrong.split_at(end);
    if key.starts_with(section) {
        let rest = rest.trim_start_matches([':', ' ']);
        return Problem::new(key, rest, "");
    }
    Problem::new(section, wrong, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::parse_text;

    #[test]
    fn what_the_clients_of_servers_would_refuse_is_told_by_key_and_without_secrets() {
        let text = "bus:\n  kind: kafka\n  properties:\n    ssl.ca.location: /not/there.pem\n    sasl.pasword: hunter2\n\
                    control:\n  kind: nats\n  credentials_file: /not/there.creds\n  client_key: /not/there.key\n\
                    store:\n  kind: postgres\n  url: nonsense://hunter2\n\
                    cache_service:\n  redis:\n    url: ftp://hunter2\n";
        let config = parse_text(text, |_| None).expect("it parses");
        let told: Vec<String> = check(&config, &Hosted::all())
            .iter()
            .map(ToString::to_string)
            .collect();
        for (key, words) in [
            ("bus.properties.ssl.ca.location: ", "is not there"),
            ("bus.properties.sasl.pasword: ", "no property"),
            ("control.credentials_file: ", "/not/there.creds"),
            ("control.client_key: ", "needs client_certificate"),
            ("cache_service.redis.url: ", "no Redis URL"),
        ] {
            let is_told = told
                .iter()
                .any(|told| told.starts_with(key) && told.contains(words));
            assert!(is_told, "{key}: {told:#?}");
        }
        assert!(!told.concat().contains("hunter2"), "{told:#?}");
        let alone = check(&config, &Hosted::only(HostedService::Ingress));
        assert!(
            alone
                .iter()
                .all(|problem| !problem.key.starts_with("cache_service"))
        );
    }
}
