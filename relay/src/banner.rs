//! What a person sees once the gateway is ready.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use relay_runner::Runtime;

use crate::config::Config;
use crate::seams::BusConfig;

/// Where this process listens.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The HTTP API.
    pub api: SocketAddr,
    /// The admin pages, if they are in this process.
    pub admin: Option<SocketAddr>,
}

/// Waits until nothing is missing, saying every few seconds what still is; then prints where to go. For people, so on standard output.
pub async fn once_ready(config: Config, runtime: Runtime, places: Places) -> anyhow::Result<()> {
    let mut waited = Duration::ZERO;
    let step = Duration::from_millis(50);
    while !runtime.health.is_ready() {
        tokio::select! {
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
    print!("{}", text(&config, places));
    Ok(())
}

fn text(config: &Config, places: Places) -> String {
    let mut api = places.api;
    if api.ip().is_unspecified() {
        // Everywhere is nowhere to connect to.
        api.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let admin = places.admin.map_or_else(String::new, |admin| {
        format!("admin   http://{admin}/admin/traces\n")
    });
    let data = match &config.bus {
        BusConfig::Embedded(_) => {
            let folder = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
            format!("data    {}\n", folder.display())
        }
        BusConfig::Kafka(kafka) => format!("log     Kafka at {}\n", kafka.brokers),
    };
    format!(
        "\nRelay is ready.\n\n\
         API     http://{api}/v1\n\
         {admin}{data}\n\
         Try it:\n\n  \
         curl http://{api}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"What is the capital of France?\"}}]}}'\n\n\
         Ctrl-C drains: what is in flight finishes, for at most {drain}; a second one stops at once.\n\n",
        drain = humantime::format_duration(config.drain_timeout),
        model = config.ingress.defaults.model.as_deref().unwrap_or("relay-chat"),
    )
}
