//! What a person sees once the gateway is ready.

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

/// Waits until nothing is missing, saying every few seconds what still is; then prints where to go. For people, so on standard output.
pub async fn once_ready(config: Config, runtime: Runtime, places: Places) -> anyhow::Result<()> {
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(50);
    while !runtime.health.is_ready() {
        tokio::select! {
            biased;
            () = runtime.shutdown.ending() => return Ok(()),
            () = tokio::time::sleep(step) => waited += step,
        }
        if waited.as_millis().is_multiple_of(5_000) {
            for (dependency, reason) in runtime.health.all() {
                if let Some(reason) = reason {
                    tracing::warn!(dependency, reason, waited_s = waited.as_secs(), "still waiting");
                }
            }
        }
    }
    print!("{}", text(&config, &places));
    Ok(())
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
}
