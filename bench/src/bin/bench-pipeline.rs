//! `make bench-pipeline`: what the whole pipeline adds to a request, and what it costs, on either column. See `--help`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use relay_bench::pipeline::parts::{self, Amounts};
use relay_bench::pipeline::target::Column;
use relay_bench::profile::{Profile, table};

/// Requests in an open loop and flat out, streams, long prompts, and where the CPU time goes, against a mock backend of zero latency.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which column
    #[arg(long, value_enum, default_value_t = Columns::Both)]
    column: Columns,
    /// Which parts, in this order
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Requests, Part::Keyed, Part::Streams, Part::Large, Part::Profile])]
    parts: Vec<Part>,
    /// Another build of `relay` (of another commit), in turns with the one beside this command
    #[arg(long)]
    against: Option<PathBuf>,
    /// Requests a second of the open loop
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of each part
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Clients of the flat-out parts
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Repetitions; medians are for people to take, profiles are of all of them
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Columns {
    Embedded,
    Production,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Half of them streamed
    Requests,
    /// The same, each under an idempotency key
    Keyed,
    /// What a token costs, and how much later the first one comes
    Streams,
    /// Prompts of 300 KB
    Large,
    /// CPU time of a request by stage (needs `perf`)
    Profile,
}

const PROGRAM: &str = "relay";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let before = arguments.against.as_ref().map(|path| path.display().to_string());
    let builds: Vec<(&str, String)> = before
        .map(|path| ("before", path))
        .into_iter()
        .chain([("now", PROGRAM.to_owned())])
        .collect();
    let columns: &[Column] = match arguments.column {
        Columns::Embedded => &[Column::Embedded],
        Columns::Production => &[Column::Production],
        Columns::Both => &[Column::Embedded, Column::Production],
    };
    let amounts = Amounts {
        rate: arguments.rate,
        clients: arguments.clients,
        lasting: Duration::from_secs(arguments.seconds),
    };
    let mut profiles: BTreeMap<(&str, usize), Profile> = BTreeMap::new();
    for run in 1..=arguments.runs {
        for column in columns {
            for part in &arguments.parts {
                for (number, (name, program)) in builds.iter().enumerate() {
                    println!("\n{}, {part:?}, run {run}, {name}", column.name());
                    let taken = one(*part, *column, program, amounts).await?;
                    let profile = profiles.entry((column.name(), number)).or_default();
                    profile.extend(taken.unwrap_or_default());
                }
            }
        }
    }
    for column in columns {
        let profiles = builds.iter().enumerate().filter_map(|(number, (name, _))| {
            let profile = profiles.get(&(column.name(), number))?;
            (!profile.samples.is_empty()).then_some((*name, profile))
        });
        let profiles: Vec<(&str, &Profile)> = profiles.collect();
        if !profiles.is_empty() {
            println!(
                "\nCPU time of a request, {}\n\n{}",
                column.name(),
                table::markdown(&profiles)
            );
        }
    }
    Ok(())
}

async fn one(part: Part, column: Column, program: &str, amounts: Amounts) -> anyhow::Result<Option<Profile>> {
    match part {
        Part::Requests => parts::requests(column, program, amounts, false).await?,
        Part::Keyed => parts::requests(column, program, amounts, true).await?,
        Part::Streams => parts::all_streams(column, program, amounts).await?,
        Part::Large => parts::large(column, program, amounts).await?,
        Part::Profile => return parts::profile(column, program, amounts).await.map(Some),
    }
    Ok(None)
}
