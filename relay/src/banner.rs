//! What a person sees while a process waits, and once it is ready.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use relay_runner::Runtime;

use crate::config::Config;
use crate::seams::BusConfig;

/// Where this process listens.
#[derive(Debug, Clone)]
pub struct Places {
    /// The HTTP API.
    pub api: SocketAddr,
    /// The admin pages, if they are in this process.
    pub admin: Option<SocketAddr>,
    /// What is to be warned of.
    pub warnings: Vec<String>,
}

/// How often what is still missing is told.
const AGAIN: Duration = Duration::from_secs(5);

/// Waits until nothing is missing, and says so. Where the API is here, it prints where to go: for people, so on standard output.
pub async fn once_ready(config: Config, runtime: Runtime, places: Option<Places>) -> anyhow::Result<()> {
    if !is_ready(&runtime, AGAIN).await {
        return Ok(());
    }
    if let Some(places) = places {
        print!("{}", text(&config, &places));
    } else {
        tracing::info!("ready");
    }
    Ok(())
}

/// Waits until nothing is missing, saying every so often what still is; false where the process ends before.
async fn is_ready(runtime: &Runtime, again: Duration) -> bool {
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(50);
    while !runtime.health.is_ready() {
        tokio::select! {
            biased;
            () = runtime.shutdown.ending() => return false,
            () = tokio::time::sleep(step) => waited += step,
        }
        if waited.as_millis().is_multiple_of(again.as_millis()) {
            for (dependency, reason) in runtime.health.all() {
                if let Some(reason) = reason {
                    tracing::warn!(dependency, reason, waited_s = waited.as_secs(), "still waiting");
                }
            }
        }
    }
    true
}

/// Everywhere is nowhere to connect to.
fn reachable(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        let here = match bound {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        bound.set_ip(here);
    }
    bound
}

fn text(config: &Config, places: &Places) -> String {
    let (bound, api) = (places.api, reachable(places.api));
    let admin = places.admin.map_or_else(String::new, |admin| {
        format!("admin   http://{admin}/admin/traces\n")
    });
    let mut warnings = String::new();
    for warning in &places.warnings {
        warnings.extend(["Warning: ", warning, ".\n\n"]);
    }
    let pools: Vec<&str> = config.workers.pools().collect();
    let pools = if pools.len() > 1 {
        format!("pools   {}\n", pools.join(", "))
    } else {
        String::new()
    };
    let data = match &config.bus {
        BusConfig::Embedded(_) => {
            let folder = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
            format!("data    {}\n", folder.display())
        }
        BusConfig::Kafka(kafka) => format!("log     Kafka at {}\n", kafka.brokers),
    };
    format!(
        "\nRelay is ready.\n\n\
         API     http://{bound}/v1\n\
         {admin}{data}{pools}\n\
         {warnings}Try it:\n\n  \
         curl http://{api}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"What is the capital of France?\"}}]}}'\n\n\
         Ctrl-C drains: what is in flight finishes, for at most {drain}; a second one stops at once.\n\n",
        drain = humantime::format_duration(config.drain_timeout),
        model = config.ingress.defaults.model.as_deref().unwrap_or("relay-chat"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(api: &str, admin: &str) -> String {
        let bound = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text}"));
        let places = Places {
            api: bound(api),
            admin: Some(bound(admin)),
            warnings: crate::exposure::warnings(Some(bound(api)), bound(admin)),
        };
        text(&Config::default(), &places)
    }

    #[test]
    fn the_banner_prints_the_address_that_was_bound_and_what_is_open_beyond_this_machine() {
        let own = said("127.0.0.1:8000", "127.0.0.1:8001");
        assert!(
            own.contains("API     http://127.0.0.1:8000/v1\n") && !own.contains("Warning"),
            "{own}"
        );
        let open = said("0.0.0.0:8000", "0.0.0.0:8001");
        assert!(open.contains("API     http://0.0.0.0:8000/v1\n"), "{open}");
        assert!(
            open.contains("admin   http://0.0.0.0:8001/admin/traces\n"),
            "{open}"
        );
        assert!(
            open.contains("curl http://127.0.0.1:8000/v1/chat/completions"),
            "{open}"
        );
        assert_eq!(open.matches("Warning: ").count(), 2, "{open}");
        assert!(said("[::]:8000", "[::1]:8001").contains("curl http://[::1]:8000/v1"));
    }

    #[test]
    fn the_banner_names_the_pools_where_there_are_several() {
        let own = "127.0.0.1:8000".parse().expect("an address");
        let places = Places {
            api: own,
            admin: None,
            warnings: Vec::new(),
        };
        let config = |text| crate::load::parse_text(text, |_| None).expect("it parses");
        assert!(!text(&Config::default(), &places).contains("pools"));
        let both = text(&config("workers: [{ pool: default }, { pool: remote }]"), &places);
        assert!(both.contains("\npools   default, remote\n"), "{both}");
    }

    fn runtime(folder: &std::path::Path) -> Runtime {
        let manifest = relay_bus::topics::Manifest::parse("pools: [cpu]\ntopics: []").expect("a manifest");
        let options = relay_bus::EmbeddedOptions::default();
        let bus = relay_bus::EmbeddedBus::open(folder, &manifest, options, &relay_clock::Clock::system());
        Runtime::new(std::sync::Arc::new(bus.expect("a log")))
    }

    /// Before, this was said where the API is, and nowhere else.
    #[tokio::test]
    async fn any_process_says_what_it_waits_for_until_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = runtime(folder.path());
        runtime.health.down("policy", "not read yet");
        runtime.health.degraded("models", "one is broken");
        let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Lines(told.clone()))
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let (health, shutdown) = (runtime.health.clone(), runtime.shutdown.clone());
        let waiting = is_ready(&runtime, Duration::from_millis(50));
        let (is_ready, told) = tokio::join!(waiting, async {
            let told = lines.recv().await.expect("it is said");
            health.up("policy");
            told
        });
        assert!(is_ready);
        assert!(
            told.contains("still waiting") && told.contains("policy") && told.contains("not read yet"),
            "{told}"
        );
        assert!(!told.contains("models"), "it goes on without: {told}");
        health.down("policy", "not read yet");
        shutdown.drain();
        assert!(!super::is_ready(&runtime, AGAIN).await, "it ends before");
    }

    struct Lines(tokio::sync::mpsc::UnboundedSender<String>);

    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
