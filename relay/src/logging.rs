//! Logs: JSON lines with ISO timestamps for machines, or one readable line an event for people.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_filter::LogFilter;

/// How this process logs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or a filter such as `info,relay_scheduler=debug`. Default: `INFO`.
    pub level: Option<LogFilter>,
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
pub fn start(config: &LogConfig) {
    let terminal = std::io::stderr().is_terminal();
    let format = config
        .format
        .unwrap_or(if terminal { Format::Text } else { Format::Json });
    let targets = config
        .level
        .clone()
        .unwrap_or_default()
        .targets(format == Format::Text);
    // The filter decides what is logged; the writer leaves nothing out.
    let builder = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(std::io::stderr);
    match format {
        Format::Json => builder.json().flatten_event(true).finish().with(targets).init(),
        Format::Text => {
            let ansi = terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            builder
                .with_ansi(ansi)
                .with_target(false)
                .finish()
                .with(targets)
                .init();
        }
    }
}
