//! The command line. Flags win over the environment, the environment over the file, the file over the defaults.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Relay: an LLM inference gateway that loses nothing it has accepted.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "First steps:\n  relay up                                   everything in one process, nothing else needed\n  \
                  relay up --config deploy/relay.production.yaml   the same on Kafka, NATS, Redis and Postgres\n  \
                  relay plan --request request.json          what the policy makes of a request, and why\n\n\
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
pub struct Settings {
    /// Configuration file; without one the embedded defaults apply
    #[arg(long, short, global = true, env = "RELAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address the HTTP API listens on
    #[arg(long, global = true, env = "HOST")]
    pub host: Option<String>,
    /// Port of the HTTP API; 0 takes a free one
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
    /// DEBUG, INFO, WARNING or ERROR, or a filter such as `info,relay_scheduler=debug`
    #[arg(long, global = true, env = "LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all six services in this process
    Up,
    /// Run the ingress alone: HTTP and batch in, answers out
    Ingress,
    /// Run the planner alone: requests to execution plans
    Planner,
    /// Run the cache service alone: answers from earlier answers
    CacheService,
    /// Run the scheduler alone: fair queues, leases, credits
    Scheduler,
    /// Run the workers alone: ONNX Runtime and remote endpoints
    Workers,
    /// Run the trace sink alone: outcomes to durable traces
    TraceSink,
    /// Look after the topics
    #[command(subcommand)]
    Topics(Topics),
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
    /// File with a chat completion request, JSON
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// Tenant that asks
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
}
