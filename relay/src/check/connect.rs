//! Whether what the services need answers: all asked at once, each for a bounded time. Nothing is made or changed, and no secret shown.

use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay_bus::topics::{OUTCOMES, Topic};
use relay_bus::{Bus, BusError, KafkaBus, KafkaOptions};
use relay_clock::Clock;
use relay_control::{Control, NatsControl, NatsOptions};
use relay_schemas::Registry;
use relay_workers::models::{BackendSpec, Models};
use relay_workers::proxies::Proxy;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::findings::{Finding, Grade};
use crate::hosted::{Hosted, HostedService};
use crate::seams::{BusConfig, ControlConfig, LOG, StoreConfig};

/// How long until a server that is away is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// A line of what answers, or what does not.
type Reached = Result<String, Finding>;

/// Asks all, in the order in which they are told.
pub(super) async fn all(
    config: &Config,
    models: &[Models],
    hosted: &Hosted,
    within: Duration,
) -> Vec<Reached> {
    let mut asking = Vec::new();
    let mut ask =
        |what: String,
         grade,
         answer: std::pin::Pin<Box<dyn Future<Output = Result<String, String>> + Send>>| {
            asking.push(tokio::spawn(one(what, grade, within, answer)));
        };
    match &config.bus {
        BusConfig::Embedded(_) => {
            let folder = config.data.join(LOG);
            let what = format!("the log in {} (`data`)", folder.display());
            ask(
                what,
                Grade::Refused,
                Box::pin(async move { folder_is_usable(&folder) }),
            );
        }
        BusConfig::Kafka(options) => {
            let what = format!("Kafka (`bus`) at {}", options.brokers);
            // A manifest that is mistaken is told already.
            let topics = config.manifest().map(|manifest| manifest.expanded());
            let asking = kafka(options.clone(), topics.unwrap_or_default());
            ask(what, Grade::Refused, Box::pin(asking));
        }
    }
    if let ControlConfig::Nats(options) = &config.control {
        let what = at("NATS (`control`)", options.url.expose());
        ask(what, Grade::Refused, Box::pin(nats(NatsOptions::clone(options))));
    }
    if let Some(redis) = &config.cache_service.redis
        && hosted.has(HostedService::CacheService)
    {
        let what = at("Redis (`cache_service.redis`)", redis.url.expose());
        let redis = redis.clone();
        let reach = async move { relay_cache_service::reach_redis(&redis).await.map(|()| answers()) };
        ask(what, Grade::Degraded, Box::pin(reach));
    }
    if hosted.has(HostedService::TraceSink) {
        match &config.store {
            StoreConfig::Sqlite => {
                let folder = config.data.clone();
                let what = format!("SQLite in {} (`data`)", folder.display());
                ask(
                    what,
                    Grade::Refused,
                    Box::pin(async move { folder_is_usable(&folder) }),
                );
            }
            StoreConfig::Postgres(options) => {
                let what = at("Postgres (`store`)", options.url.expose());
                let options = options.clone();
                let reach = async move {
                    let reached = options.reach().await;
                    reached.map(|()| answers()).map_err(|error| error.to_string())
                };
                ask(what, Grade::Refused, Box::pin(reach));
            }
        }
    }
    for (name, spec) in models.iter().flat_map(|models| &models.models) {
        if let BackendSpec::Remote(spec) = spec
            && let Some((host, port)) = spec.address()
        {
            let mut what = format!("the endpoint of `{name}` at {host}:{port}");
            match spec.proxy(crate::environment::variable) {
                Ok(None) => ask(what, Grade::Degraded, Box::pin(endpoint(host, port))),
                Ok(Some(between)) => {
                    let variable = between.variable;
                    let _ = write!(what, ", through the proxy that {variable} names");
                    ask(what, Grade::Degraded, Box::pin(proxy(between)));
                }
                // It is told without asking.
                Err(_) => {}
            }
        }
    }
    let mut reached = Vec::new();
    for task in asking {
        let ended = task.await;
        reached.push(ended.unwrap_or_else(|failed| Err(Finding::said(failed.to_string(), Grade::Refused))));
    }
    reached
}

async fn one(
    what: String,
    grade: Grade,
    within: Duration,
    answer: impl Future<Output = Result<String, String>>,
) -> Reached {
    let waited = humantime::format_duration(within);
    let answered = tokio::time::timeout(within, answer).await;
    let answered = answered.unwrap_or_else(|_| Err(format!("no answer within {waited} (--timeout)")));
    match answered {
        Ok(said) => Ok(format!("{:<13} {what}: {said}", "reached")),
        Err(why) => Err(Finding::said(format!("{what}: {why}"), grade)),
    }
}

fn answers() -> String {
    "it answers".to_owned()
}

async fn kafka(options: KafkaOptions, topics: Vec<Topic>) -> Result<String, String> {
    let bus = KafkaBus::connect(options, &Clock::system()).map_err(|error| error.to_string())?;
    let mut missing = Vec::new();
    for topic in &topics {
        match partitions(&bus, &topic.name).await {
            Ok(found) if topic.name == OUTCOMES && found != topic.partitions => {
                let wanted = topic.partitions;
                return Err(format!(
                    "{OUTCOMES} has {found} partitions, and the topic manifest says {wanted}; it never changes: mend the manifest"
                ));
            }
            Ok(_) => {}
            Err(BusError::UnknownTopic(name)) => missing.push(name),
            Err(error) => return Err(error.to_string()),
        }
    }
    if missing.is_empty() {
        return Ok(format!("it answers, and has the {} topics", topics.len()));
    }
    let missing = missing.join(", ");
    Err(format!(
        "it has no {missing}; `relay topics apply` with the same configuration makes them"
    ))
}

/// Asks until there is an answer; whoever asks has a bound.
async fn partitions(bus: &KafkaBus, topic: &str) -> Result<i32, BusError> {
    loop {
        match bus.partitions(topic).await {
            Err(BusError::Unavailable(_)) => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

async fn nats(options: NatsOptions) -> Result<String, String> {
    let control = NatsControl::connect(options)
        .await
        .map_err(|error| error.to_string())?;
    let control = control.with_schemas(Arc::new(Registry::default()));
    // The client goes on trying by itself, and whoever asks has a bound.
    while control.probe().await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
    Ok(answers())
}

/// Only whether somebody listens there: what a request costs is not a check's to spend.
async fn endpoint(host: String, port: u16) -> Result<String, String> {
    let connected = TcpStream::connect((host.as_str(), port)).await;
    let connected = connected.map_err(|error| error.to_string());
    connected.map(|_| "somebody listens".to_owned())
}

/// Only whether the proxy is there: what stands behind it is the proxy's to reach.
async fn proxy(between: Proxy) -> Result<String, String> {
    let (host, port) = between.address().ok_or("it has no address")?;
    let connected = TcpStream::connect((host.as_str(), port)).await;
    let at = format!("the proxy at {host}:{port}");
    connected
        .map(|_| format!("{at} listens; whether the endpoint does was not asked"))
        .map_err(|error| format!("{at}: {error}"))
}

/// Whether a folder is there and can be written, or can be made.
fn folder_is_usable(folder: &Path) -> Result<String, String> {
    let mut there = folder;
    while !there.exists() {
        there = match there.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
    }
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    let usable = rustix::fs::access(there, access);
    usable.map_err(|error| format!("{} cannot be read and written: {error}", there.display()))?;
    Ok(if there == folder {
        "it can be read and written".to_owned()
    } else {
        format!("it will be made in {}", there.display())
    })
}

/// `of`, with host and port of its URL, or of its URLs by comma, and nothing else of them. Where it is not plain what is what in it,
/// nothing at all: a password may hold anything.
fn at(of: &str, urls: &str) -> String {
    let parts: Vec<&str> = urls.split(',').collect();
    let is_plain = !urls.contains('@') || parts.iter().all(|part| part.contains("://"));
    let hosts: Option<Vec<&str>> = parts.into_iter().map(host).collect();
    match hosts.filter(|_| is_plain) {
        Some(hosts) => format!("{of} at {}", hosts.join(", ")),
        None => of.to_owned(),
    }
}

fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_plain = rest.matches('@').count() == authority.matches('@').count() && !user.contains('@');
    (is_plain && !host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_host_and_port_are_shown() {
        for (url, expected) in [
            ("nats://user:hunter2@a:4222,tls://b:4222", "x at a:4222, b:4222"),
            ("a:4222,b:4222", "x at a:4222, b:4222"),
            ("redis://:hunter2@c:6379/0", "x at c:6379"),
            (
                "postgres://relay:hunter2@d:5432/relay?password=hunter2",
                "x at d:5432",
            ),
        ] {
            assert_eq!(at("x", url), expected, "{url}");
        }
        for url in [
            "https://user:hun@ter2@e/v1?key=hunter2",
            "https://user:hunter2/x@e/v1",
            "https://e/v1?key=hun@ter2",
            "nats://user:hunter2,x@e:4222",
            "postgres:///relay?password=hunter2",
        ] {
            assert_eq!(at("x", url), "x", "{url}");
        }
    }

    #[tokio::test]
    async fn what_does_not_answer_is_told_in_bounded_time() {
        let away = one(
            "NATS".to_owned(),
            Grade::Refused,
            Duration::from_millis(10),
            std::future::pending(),
        );
        let told = away.await.expect_err("it never answers").to_string();
        assert_eq!(told, "NATS: no answer within 10ms (--timeout)");
    }

    #[test]
    fn a_folder_that_is_not_there_will_be_made_in_the_nearest_that_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = folder_is_usable(&folder.path().join("a/b")).expect("it can be made");
        assert!(said.ends_with(&folder.path().display().to_string()), "{said}");
        assert!(folder_is_usable(folder.path()).is_ok());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn servers_that_answer_are_told_and_one_that_is_away_is_a_finding_without_its_secret() {
        let var = |name: &str| {
            Some(std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`")))
        };
        let sample = include_str!("../../../deploy/relay.production.yaml");
        let mut config = crate::load::parse_text(sample, var).expect("the sample");
        let told = all(&config, &[], &Hosted::all(), Duration::from_secs(60)).await;
        let told: Vec<String> = told
            .into_iter()
            .map(|reached| reached.unwrap_or_else(|finding| finding.to_string()))
            .collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        // Whether its topics are made is another test's affair.
        assert!(
            told[0].contains("Kafka (`bus`) at ") && !told[0].contains("no answer"),
            "{told:#?}"
        );
        for (told, name) in told[1..].iter().zip(["NATS", "Redis", "Postgres"]) {
            assert!(
                told.starts_with("reached") && told.contains(name) && told.ends_with("it answers"),
                "{told}"
            );
        }
        let ControlConfig::Nats(nats) = &mut config.control else {
            unreachable!("it is the production column")
        };
        nats.url = "nats://relay:hunter2@127.0.0.1:1".into();
        let told = all(&config, &[], &Hosted::all(), Duration::from_millis(300))
            .await
            .swap_remove(1);
        let told = told.expect_err("nobody listens there").to_string();
        assert_eq!(
            told,
            "NATS (`control`) at 127.0.0.1:1: no answer within 300ms (--timeout)"
        );
    }
}
