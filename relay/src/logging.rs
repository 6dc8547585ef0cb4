//! Logs: JSON lines with ISO timestamps for machines, or one readable line an event for people.

use std::io::IsTerminal;

use anyhow::Context;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// How this process logs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// DEBUG, INFO, WARNING or ERROR, or a `tracing` filter. Default: `info`.
    pub level: Option<String>,
    /// `json` or `text`; without it, text on a terminal and JSON elsewhere.
    pub format: Option<Format>,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error. Call once.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let level = config.level.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(directives(level))
        .with_context(|| format!("log level `{level}`: use DEBUG, INFO, WARNING or ERROR, or a filter"))?;
    let format = config.format.unwrap_or(if std::io::stderr().is_terminal() { Format::Text } else { Format::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        Format::Json => builder.json().flatten_event(true).init(),
        Format::Text => builder.init(),
    }
    Ok(())
}

/// The level as `tracing` spells it: `WARNING` is what Python's services call it, and libraries stay quieter than we are.
fn directives(level: &str) -> String {
    match level.to_ascii_lowercase().as_str() {
        "warning" | "warn" => "warn".to_owned(),
        plain @ ("trace" | "debug" | "info" | "error") => {
            format!("{plain},async_nats=warn,fjall=warn,lsm_tree=warn,rdkafka=warn,sqlx=warn,h2=warn,hyper=warn,ort=warn")
        }
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::directives;

    #[test]
    fn levels_are_read_as_other_gateways_spell_them() {
        assert_eq!(directives("WARNING"), "warn");
        assert!(directives("INFO").starts_with("info,"));
        assert_eq!(directives("relay_scheduler=debug"), "relay_scheduler=debug");
    }
}
