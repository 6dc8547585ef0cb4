//! What a command takes besides its own words: groups of flags, and which of them it takes. A command has no flag that means nothing to it.

use std::path::PathBuf;

use clap::Args;

use crate::log_filter::LogFilter;
use crate::logging::Format;

/// The configuration file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct File {
    /// Configuration file; without one the embedded defaults apply
    #[arg(long, short, global = true, env = "RELAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The HTTP API.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Api {
    /// Address the HTTP API listens on
    #[arg(long, global = true, env = "HOST")]
    pub host: Option<String>,
    /// Port of the HTTP API; 0 takes a free one
    #[arg(long, global = true, env = "PORT")]
    pub port: Option<u16>,
}

/// The operators' listener.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Operators {
    /// Port of the operators' listener (admin pages, health, metrics); 0 takes a free one
    #[arg(long, global = true, env = "RELAY_ADMIN_PORT")]
    pub admin_port: Option<u16>,
}

/// The data folder.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Data {
    /// Folder of the embedded log and tables
    #[arg(long, global = true, env = "RELAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A process that serves until it is told to end.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Process {
    /// Name of this instance; without one, host and process id
    #[arg(long, global = true, env = "RELAY_INSTANCE")]
    pub instance: Option<String>,
    /// From the first Ctrl-C or SIGTERM until what is still in flight is cut, for example 20s
    #[arg(long, global = true, env = "RELAY_DRAIN_TIMEOUT", value_name = "TIME")]
    pub drain_timeout: Option<humantime::Duration>,
    /// Of these, how long everything goes on as ever while /readyz says 503
    #[arg(long, global = true, env = "RELAY_LAME_DUCK", value_name = "TIME")]
    pub lame_duck: Option<humantime::Duration>,
}

/// What is logged, on standard error.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Log {
    /// TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL, or a filter such as `info,relay_scheduler=debug`
    #[arg(long, global = true, env = "LOG_LEVEL")]
    pub log_level: Option<LogFilter>,
    /// `json` or `text`; without it, text on a terminal and JSON elsewhere
    #[arg(long, global = true, env = "LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<Format>,
}

/// All of them, as `relay up` takes them.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    #[command(flatten)]
    pub file: File,
    #[command(flatten)]
    pub api: Api,
    #[command(flatten)]
    pub operators: Operators,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub log: Log,
}

/// Those of a service that has no listener but the operators' and no folder.
#[derive(Debug, Args)]
pub struct OfService {
    #[command(flatten)]
    pub file: File,
    #[command(flatten)]
    pub operators: Operators,
    #[command(flatten)]
    pub process: Process,
    #[command(flatten)]
    pub log: Log,
}

/// Those of the ingress.
#[derive(Debug, Args)]
pub struct OfIngress {
    #[command(flatten)]
    pub api: Api,
    #[command(flatten)]
    pub service: OfService,
}

/// Those of the trace sink, whose tables may lie in a folder.
#[derive(Debug, Args)]
pub struct OfTraceSink {
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub service: OfService,
}

/// Those of a command that looks after the log or the tables.
#[derive(Debug, Args)]
pub struct OfKeeper {
    #[command(flatten)]
    pub file: File,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub log: Log,
}

/// Those of a command that asks a running Relay where that has the log open.
#[derive(Debug, Args)]
pub struct OfLog {
    #[command(flatten)]
    pub keeper: OfKeeper,
    #[command(flatten)]
    pub operators: Operators,
}

impl From<&OfService> for Settings {
    fn from(of: &OfService) -> Self {
        Self {
            file: of.file.clone(),
            operators: of.operators.clone(),
            process: of.process.clone(),
            log: of.log.clone(),
            ..Self::default()
        }
    }
}

impl From<&OfIngress> for Settings {
    fn from(of: &OfIngress) -> Self {
        Self {
            api: of.api.clone(),
            ..Self::from(&of.service)
        }
    }
}

impl From<&OfTraceSink> for Settings {
    fn from(of: &OfTraceSink) -> Self {
        Self {
            data: of.data.clone(),
            ..Self::from(&of.service)
        }
    }
}

impl From<&OfKeeper> for Settings {
    fn from(of: &OfKeeper) -> Self {
        Self {
            file: of.file.clone(),
            data: of.data.clone(),
            log: of.log.clone(),
            ..Self::default()
        }
    }
}

impl From<&OfLog> for Settings {
    fn from(of: &OfLog) -> Self {
        Self {
            operators: of.operators.clone(),
            ..Self::from(&of.keeper)
        }
    }
}
