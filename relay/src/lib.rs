//! The executable: all six services in one process (`relay up`), or any one of them (`relay planner`).
//!
//! This file is the table of contents; each command has a file of its own. It is a library too, so that the proof can build
//! the same executable with crash points.

mod backup;
mod banner;
mod check;
mod cli;
mod config;
mod deadlines;
mod descriptors;
mod draining;
mod environment;
mod exposure;
mod findings;
mod healthcheck;
mod hosted;
mod hosting;
#[cfg(test)]
mod images;
mod load;
mod log_check;
mod log_filter;
mod logging;
mod ops;
mod plan;
mod process_metrics;
#[cfg(test)]
mod samples;
mod scheduling;
mod schema;
mod seams;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod secured;
mod signals;
mod sizes;
mod topics;
mod traces;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Exit code of a drain that cut something: whoever started the process can tell it from a failure.
const CUT: u8 = 3;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::of_process();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads us has seen enough, as in `relay topics read … | head`.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error:#}");
            if error.is::<draining::Cut>() {
                ExitCode::from(CUT)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// How long is waited for threads that no service waits for any more.
const THREADS_END: std::time::Duration = std::time::Duration::from_secs(2);

fn run(cli: Cli) -> anyhow::Result<()> {
    let hosted = cli.command.hosts();
    let config = match &cli.command {
        Command::Check(asked) => return check::run(asked),
        Command::Schema(asked) => return schema::print(asked.of),
        command => match &hosted {
            Some(hosted) => check::start(&command.settings(), hosted)?,
            None => load::load(&command.settings())?,
        },
    };
    logging::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Up(_)
            | Command::Run(_)
            | Command::Ingress(_)
            | Command::Planner(_)
            | Command::CacheService(_)
            | Command::Scheduler(_)
            | Command::Workers(_)
            | Command::TraceSink(_) => {
                let hosted = hosted.expect("each of them hosts some");
                Box::pin(hosting::host(config, hosted)).await
            }
            Command::Log(log) => match log.command {
                cli::Log::Verify(asked) => log_check::verify(&config, &asked),
            },
            Command::Backup(asked) => backup::backup(&config, &asked.folder).await,
            Command::Restore(asked) => backup::restore(&config, &asked.folder).await,
            Command::Topics(topics) => topics::run(&config, topics.command).await,
            Command::DeadLetters(letters) => topics::dead_letters(&config, letters.command).await,
            Command::Traces(traces) => traces::run(&config, traces.command).await,
            Command::Healthcheck(asked) => healthcheck::run(&config.ops, *asked.timeout).await,
            Command::Plan(request) => plan::run(&config, &request),
            Command::Check(_) | Command::Schema(_) => Ok(()),
        }
    });
    if matches!(&done, Err(error) if error.is::<signals::Interrupted>()) {
        // Who asks twice does not wait for threads that are still computing.
        runtime.shutdown_background();
    } else {
        // All services have ended; a model may be loading all the same, and for ever.
        runtime.shutdown_timeout(THREADS_END);
    }
    done
}
