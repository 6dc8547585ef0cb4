//! The command line. Flags win over the environment, the environment over the file, the file over the defaults.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use relay_schemas::Operation;

use crate::log_filter::LogFilter;
use crate::logging::Format;

/// What somebody who runs one service wants to know.
macro_rules! alone {
    ($consumes:literal, $produces:literal, $needs:literal) => {
        concat!(
            "Consumes  ", $consumes, "\nProduces  ", $produces, "\nNeeds     ", $needs,
            "\n\nFor example: --config deploy/relay.production.yaml, after `relay topics apply` with the same file. What is away is waited for;\n\
             /readyz on --admin-port says what. Each process on one machine needs an --admin-port of its own.\n\
             Ctrl-C drains, for at most --drain-timeout; /readyz says 503 for the whole of it, and work goes on as ever for the first\n\
             --lame-duck (5 s). Exit code 0: all finished; 3: something was cut; 1: a second Ctrl-C stopped it at once.",
        )
    };
}

/// Relay: an LLM inference gateway that loses nothing it has accepted.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "First steps:\n  \
                  relay up                                         everything in one process, nothing else needed\n  \
                  relay up --config deploy/relay.production.yaml   the same on Kafka, NATS, Redis and Postgres\n  \
                  relay plan --request request.json                what the policy makes of a request, and why\n\n\
                  Flags win over the environment, the environment over the file, the file over the defaults.\n\
                  Docs: README.md, docs/ARCHITECTURE.md. Every setting: deploy/relay.embedded.yaml."
)]
pub struct Cli {
    /// Settings of every command.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Settings of every command.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// Configuration file; without one the embedded defaults apply
    #[arg(long, short, global = true, env = "RELAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address the HTTP API listens on
    #[arg(long, global = true, env = "HOST")]
    pub host: Option<String>,
    /// Port of the HTTP API
    #[arg(long, global = true, env = "PORT")]
    pub port: Option<u16>,
    /// Port of the operators' listener (admin pages, health, metrics); 0 takes a free one
    #[arg(long, global = true, env = "RELAY_ADMIN_PORT")]
    pub admin_port: Option<u16>,
    /// Folder of the embedded log and tables
    #[arg(long, global = true, env = "RELAY_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Name of this instance; without one, host and process id
    #[arg(long, global = true, env = "RELAY_INSTANCE")]
    pub instance: Option<String>,
    /// From the first Ctrl-C or SIGTERM until what is still in flight is cut, for example 20s
    #[arg(long, global = true, env = "RELAY_DRAIN_TIMEOUT", value_name = "TIME")]
    pub drain_timeout: Option<humantime::Duration>,
    /// Of these, how long the HTTP API goes on as ever while /readyz says 503
    #[arg(long, global = true, env = "RELAY_LAME_DUCK", value_name = "TIME")]
    pub lame_duck: Option<humantime::Duration>,
    /// TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL, or a filter such as `info,relay_scheduler=debug`
    #[arg(long, global = true, env = "LOG_LEVEL")]
    pub log_level: Option<LogFilter>,
    /// `json` or `text`; without it, text on a terminal and JSON elsewhere
    #[arg(long, global = true, env = "LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<Format>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all six services in this process
    #[command(
        after_help = "Ctrl-C drains: what is in flight may finish within --drain-timeout (20 s).\nExit code 0: all finished; 3: something was cut; 1: a second Ctrl-C stopped it at once."
    )]
    Up,
    /// Run the ingress alone: HTTP and batch in, answers out
    #[command(after_help = alone!("the OpenAI API on --port, relay.batch.requests.v1 and relay.outcomes.v1", "relay.requests.v1, relay.batch.results.v1", "Kafka, NATS"))]
    Ingress,
    /// Run the planner alone: requests to execution plans
    #[command(after_help = alone!("relay.requests.v1", "relay.planned.v1; outcomes of what has no plan", "Kafka, NATS"))]
    Planner,
    /// Run the cache service alone: answers from earlier answers
    #[command(after_help = alone!("relay.planned.v1, relay.outcomes.v1", "relay.ready.<pool>.v1; outcomes of hits", "Kafka, NATS; Redis where one is set"))]
    CacheService,
    /// Run the scheduler alone: fair queues, leases, credits
    #[command(after_help = alone!("relay.ready.<pool>.v1, relay.outcomes.v1, the workers' status", "relay.work.<pool>.short.v1 and .long.v1, relay.scheduler.<pool>.v1; outcomes of what it refuses", "Kafka, NATS"))]
    Scheduler,
    /// Run the workers alone: ONNX Runtime and remote endpoints
    #[command(after_help = alone!("relay.work.<pool>.short.v1 and .long.v1", "relay.outcomes.v1, frames for the waiting ingress", "Kafka, NATS; the models of `workers.models`"))]
    Workers,
    /// Run the trace sink alone: outcomes to durable traces
    #[command(after_help = alone!("relay.outcomes.v1", "rows in the store, the pages under /admin on --admin-port", "Kafka, NATS, Postgres"))]
    TraceSink,
    /// Look after the topics
    #[command(subcommand)]
    Topics(Topics),
    /// Look after the traces
    #[command(subcommand)]
    Traces(Traces),
    /// Look after the embedded log
    #[command(subcommand)]
    Log(Log),
    /// Copy the embedded log and the tables to an empty folder, also while a gateway runs on them
    #[command(
        after_help = "The copy is read through before it counts; docs/backup.md has what it holds, and how to bring it back."
    )]
    Backup(BackupFolder),
    /// Bring a backup back into an empty data folder
    #[command(
        after_help = "For example: relay restore /backups/monday --data relay-data, then relay up --data relay-data."
    )]
    Restore(BackupFolder),
    /// Ask whether the Relay on this machine answers: /healthz on --admin-port
    #[command(
        after_help = "Exit code 0: it does; 1: it does not. For images that hold nothing else to ask with."
    )]
    Healthcheck,
    /// Print the plan that the policy makes for a request, and why
    Plan(PlanRequest),
}

/// Look after the topics.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Make the topics what the manifest says; never deletes one
    Apply,
    /// Print the offsets that every partition holds
    Offsets,
    /// Print records of a topic as JSON lines, oldest first, up to its present end
    Read(ReadTopic),
}

/// Look after the traces.
#[derive(Debug, Subcommand)]
pub enum Traces {
    /// Empty the tables and have them folded from the log again
    Rebuild(Rebuild),
}

/// How to rebuild.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Do it, though traces that the log no longer holds are lost
    #[arg(long)]
    pub yes: bool,
}

/// Look after the embedded log.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Read every byte of it and print what is damaged, and where; changes nothing, and may be used while a gateway runs
    #[command(after_help = "Exit code 1 says that something is damaged.")]
    Verify(VerifyLog),
}

/// Which log to verify.
#[derive(Debug, Args)]
pub struct VerifyLog {
    /// A log, a data folder or a backup; without one, the log of the configured data folder
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// Where a backup lies, or will.
#[derive(Debug, Args)]
pub struct BackupFolder {
    /// The folder of the backup
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Which records to print.
#[derive(Debug, Args)]
pub struct ReadTopic {
    /// The topic, for example relay.outcomes.v1
    pub topic: String,
    /// Also print prompts and answers, which are left out otherwise
    #[arg(long)]
    pub content: bool,
}

/// Which request to plan.
#[derive(Debug, Args)]
pub struct PlanRequest {
    /// File with a request's body, JSON
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// Operation of the API that it asks for
    #[arg(long, value_enum, default_value_t = OperationArg::Chat)]
    pub operation: OperationArg,
    /// Tenant that asks
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Which operation to plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OperationArg {
    /// /v1/chat/completions
    Chat,
    /// /v1/completions
    Completion,
    /// /v1/embeddings
    Embedding,
}

impl From<OperationArg> for Operation {
    fn from(asked: OperationArg) -> Self {
        match asked {
            OperationArg::Chat => Self::Chat,
            OperationArg::Completion => Self::Completion,
            OperationArg::Embedding => Self::Embedding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_level_typo_is_refused_at_the_start() {
        for typo in ["loud", "inof"] {
            let words = ["relay", "up", "--log-level", typo];
            let refused = Cli::try_parse_from(words).expect_err(typo).to_string();
            assert!(
                refused.contains("--log-level") && refused.contains("CRITICAL"),
                "{refused}"
            );
        }
        assert!(Cli::try_parse_from(["relay", "up", "--log-level", "CRITICAL"]).is_ok());
    }

    #[test]
    fn a_plan_is_of_a_chat_unless_another_operation_is_named() {
        let operation = |more: &[&str]| {
            let words = ["relay", "plan", "--request", "r.json"].iter().chain(more);
            match Cli::parse_from(words).command {
                Command::Plan(asked) => Operation::from(asked.operation),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(operation(&[]), Operation::Chat);
        assert_eq!(operation(&["--operation", "completion"]), Operation::Completion);
        assert_eq!(operation(&["--operation", "embedding"]), Operation::Embedding);
    }
}
