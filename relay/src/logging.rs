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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
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
    let format = config.format.unwrap_or(if std::io::stderr().is_terminal() {
        Format::Text
    } else {
        Format::Json
    });
    let filter = EnvFilter::try_new(directives(level, format))
        .with_context(|| format!("log level `{level}`: use DEBUG, INFO, WARNING or ERROR, or a filter"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Json => builder.json().flatten_event(true).init(),
        Format::Text => {
            let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(ansi).with_target(false).init();
        }
    }
    Ok(())
}

const QUIET: &str = "async_nats=warn,rdkafka=warn,sqlx=warn,h2=warn,hyper=warn,ort=warn";

/// The level as `tracing` spells it: `WARNING` is what Python's services call it, and libraries stay quieter than we are.
/// A person who starts everything does not want to read which group got which partitions.
fn directives(level: &str, format: Format) -> String {
    match level.to_ascii_lowercase().as_str() {
        "warning" | "warn" => "warn".to_owned(),
        "error" => "error".to_owned(),
        "info" if format == Format::Text => format!("info,{QUIET},relay_runner::stage::host=warn"),
        plain @ ("trace" | "debug" | "info") => format!("{plain},{QUIET}"),
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, directives};

    #[test]
    fn levels_are_read_as_other_gateways_spell_them() {
        assert_eq!(directives("WARNING", Format::Json), "warn");
        assert_eq!(directives("ERROR", Format::Json), "error");
        assert!(directives("INFO", Format::Json).starts_with("info,"));
        assert_eq!(
            directives("relay_scheduler=debug", Format::Text),
            "relay_scheduler=debug"
        );
    }

    #[test]
    fn people_are_spared_the_partitions() {
        assert!(directives("INFO", Format::Text).contains("relay_runner::stage::host=warn"));
        assert!(!directives("INFO", Format::Json).contains("relay_runner::stage"));
    }
}
