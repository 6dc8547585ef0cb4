//! The command line. Flags win over the environment, the environment over the file, the file over the defaults.

mod help;
mod misplaced;
mod plan;
mod settings;
#[cfg(test)]
mod tests;
mod topics;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use plan::PlanRequest;
pub use settings::Settings;
use settings::{File, OfIngress, OfKeeper, OfLog, OfService, OfTraceSink, Operators};
pub use topics::{CloseLetters, DeadLetters, Topics, read};

use crate::hosted::{Hosted, HostedService};

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
                  relay plan --request request.json                what the policy makes of a request, and why\n  \
                  relay check --config relay.yaml                  every mistake in your files at once, without starting anything\n\n\
                  Flags win over the environment, the environment over the file, the file over the defaults.\n\
                  Docs: docs/index.md. Every setting: deploy/relay.embedded.yaml."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all six services in this process
    #[command(
        after_help = "Ctrl-C drains: what is in flight may finish within --drain-timeout (20 s).\nExit code 0: all finished; 3: something was cut; 1: a second Ctrl-C stopped it at once."
    )]
    Up(Settings),
    /// Run several services in this process, by comma: planner,cache-service
    #[command(
        after_help = "For example: relay run planner,cache-service,scheduler --config deploy/relay.production.yaml. What neighbours in one process\n\
                      tell each other goes through the log as ever, so that any of them may also run elsewhere. `relay up` is all six.\n\
                      Ctrl-C drains as it does for a service alone: `relay planner --help` says how."
    )]
    Run(OfRun),
    /// Run the ingress alone: HTTP and batch in, answers out
    #[command(after_help = alone!("the OpenAI API on --port, relay.batch.requests.v1 and relay.outcomes.v1", "relay.requests.v1, relay.batch.results.v1", "Kafka, NATS"))]
    Ingress(OfIngress),
    /// Run the planner alone: requests to execution plans
    #[command(after_help = alone!("relay.requests.v1", "relay.planned.v1; outcomes of what has no plan", "Kafka, NATS"))]
    Planner(OfService),
    /// Run the cache service alone: answers from earlier answers
    #[command(after_help = alone!("relay.planned.v1, relay.outcomes.v1", "relay.ready.<pool>.v1; outcomes of hits", "Kafka, NATS; Redis where one is set"))]
    CacheService(OfService),
    /// Run the scheduler alone: fair queues, leases, credits
    #[command(after_help = alone!("relay.ready.<pool>.v1, relay.outcomes.v1, the workers' status", "relay.work.<pool>.short.v1 and .long.v1, relay.scheduler.<pool>.v1; outcomes of what it refuses", "Kafka, NATS"))]
    Scheduler(OfService),
    /// Run the workers alone: ONNX Runtime and remote endpoints
    #[command(after_help = alone!("relay.work.<pool>.short.v1 and .long.v1", "relay.outcomes.v1, frames for the waiting ingress", "Kafka, NATS; the models of `workers.models`"))]
    Workers(OfService),
    /// Run the trace sink alone: outcomes to durable traces
    #[command(after_help = alone!("relay.outcomes.v1", "rows in the store, the pages under /admin on --admin-port", "Kafka, NATS, Postgres"))]
    TraceSink(OfTraceSink),
    /// Look after the topics
    Topics(Kept<Topics, OfLog>),
    /// Look after the dead letters: what no service could use
    DeadLetters(Kept<DeadLetters, OfLog>),
    /// Look after the traces
    Traces(Kept<Traces>),
    /// Look after the embedded log
    Log(Kept<Log>),
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
    Healthcheck(Healthcheck),
    /// Print the plan that the policy makes for a request, and why
    #[command(
        after_help = "For example: echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}' | relay plan --tenant acme\n\
                      Nothing runs, and nothing is asked of a running Relay. Exit code 0: there is a plan; 1: there is none, as the policy\n\
                      refuses the request, or it is none."
    )]
    Plan(PlanRequest),
    /// Look for every mistake in configuration, policy, models and topics at once, without starting anything
    #[command(
        after_help = "For example: relay check --config deploy/relay.production.yaml --connect. Each mistake has its file, line, key and cure.\nA start refuses the same, but goes on without a model that cannot be used. Exit code 0: nothing is wrong; 1: something is."
    )]
    Check(Check),
    /// Print the JSON Schema of a file, for editors
    #[command(
        after_help = "A file that begins with `# yaml-language-server: $schema=FILE` is completed and checked by editors that know YAML's\nlanguage server. The schemas of this build are in deploy/schemas/, and the samples name them."
    )]
    Schema(SchemaAsked),
}

/// Which schema to print.
#[derive(Debug, Args)]
pub struct SchemaAsked {
    /// Of which file
    #[arg(value_enum, ignore_case = true, value_name = "FILE")]
    pub of: SchemaOf,
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaOf {
    /// The configuration (--config)
    Config,
    /// `planner.policy`
    Policy,
    /// `workers.models`
    Models,
    /// `topics`
    Topics,
}

/// What to check.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub settings: Settings,
    /// Also ask Kafka or the log's folder, NATS, Redis, the tables and remote endpoints whether they answer; changes nothing
    #[arg(long)]
    pub connect: bool,
    /// How long each may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "connect")]
    pub timeout: humantime::Duration,
    /// As for this service in a process of its own, or for several in one, by comma; without it, as for `relay up`
    #[arg(long, value_name = "SERVICES")]
    pub service: Option<Hosted>,
}

/// What to run in one process.
#[derive(Debug, Args)]
pub struct OfRun {
    /// Of ingress, planner, cache-service, scheduler, workers and trace-sink, by comma
    #[arg(value_name = "SERVICES")]
    pub services: Hosted,
    #[command(flatten)]
    pub settings: Settings,
}

impl Cli {
    /// The command line of this process, with what its environment says of the flags; ends the process where it cannot be read.
    pub fn of_process() -> Self {
        Self::read(std::env::args_os()).unwrap_or_else(|refused| refused.exit())
    }

    /// Reads a command line.
    pub fn read<T: Into<OsString> + Clone>(words: impl IntoIterator<Item = T>) -> Result<Self, clap::Error> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        let mut known = help::completed(Self::command());
        let parsed = known.try_get_matches_from_mut(&words);
        let parsed = parsed.map_err(|refused| misplaced::explained(refused, &known, &words))?;
        let cli = Self::from_arg_matches(&parsed).map_err(|refused| refused.format(&mut known))?;
        if let (Command::Run(of), Some((_, given))) = (&cli.command, parsed.subcommand()) {
            misplaced::in_run(&of.services, given)?;
        }
        Ok(cli)
    }
}

impl Command {
    /// The services that it starts, if it starts any.
    pub fn hosts(&self) -> Option<Hosted> {
        Some(match self {
            Self::Up(_) => Hosted::all(),
            Self::Run(of) => of.services.clone(),
            Self::Ingress(_) => Hosted::only(HostedService::Ingress),
            Self::Planner(_) => Hosted::only(HostedService::Planner),
            Self::CacheService(_) => Hosted::only(HostedService::CacheService),
            Self::Scheduler(_) => Hosted::only(HostedService::Scheduler),
            Self::Workers(_) => Hosted::only(HostedService::Workers),
            Self::TraceSink(_) => Hosted::only(HostedService::TraceSink),
            _ => return None,
        })
    }

    /// What its flags and their variables set.
    pub fn settings(&self) -> Settings {
        match self {
            Self::Up(all) => all.clone(),
            Self::Run(of) => of.settings.clone(),
            Self::Check(of) => of.settings.clone(),
            Self::Schema(_) => Settings::default(),
            Self::Ingress(of) => of.into(),
            Self::Planner(of) | Self::CacheService(of) | Self::Scheduler(of) | Self::Workers(of) => of.into(),
            Self::TraceSink(of) => of.into(),
            Self::Topics(Kept { settings, .. }) | Self::DeadLetters(Kept { settings, .. }) => settings.into(),
            Self::Traces(Kept { settings, .. }) | Self::Log(Kept { settings, .. }) => settings.into(),
            Self::Backup(of) | Self::Restore(of) => (&of.settings).into(),
            Self::Healthcheck(of) => Settings {
                file: of.file.clone(),
                operators: of.operators.clone(),
                ..Settings::default()
            },
            Self::Plan(of) => Settings {
                file: of.file.clone(),
                ..Settings::default()
            },
        }
    }
}

/// A command that looks after the log or the tables, with one of its own.
#[derive(Debug, Args)]
pub struct Kept<C: Subcommand, S: Args = OfKeeper> {
    #[command(flatten)]
    pub settings: S,
    #[command(subcommand)]
    pub command: C,
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
    #[command(flatten)]
    pub settings: OfKeeper,
}

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Healthcheck {
    #[command(flatten)]
    pub file: File,
    #[command(flatten)]
    pub operators: Operators,
    /// How long it may take, all together, for example 500ms
    #[arg(long, value_name = "TIME", default_value = "3s")]
    pub timeout: humantime::Duration,
}
