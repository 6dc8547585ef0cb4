//! `make bench-sink`: what keeping a trace costs, in the process that keeps it. See `--help`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use relay_bench::quantiles::median;
use relay_bench::sink::{Case, Figures, Line, measure, outcomes};
use relay_bench::turns::builds;
use relay_store::{Outcomes, PostgresOptions, PostgresStore, SqliteStore};

/// Folds outcomes into new tables in transactions of several sizes. `SQLite` is always measured, Postgres where `RELAY_POSTGRES_URL`
/// names one: its tables are emptied.
#[derive(Debug, Parser)]
struct Arguments {
    /// Another build of this command (of another commit), in turns with this one
    #[arg(long)]
    against: Option<PathBuf>,
    /// Turns of each build; medians are printed
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Folder for the file, on the disk that is to be written
    #[arg(long, default_value = ".")]
    under: PathBuf,
    /// Postgres; its CPU time is its own, and not counted
    #[arg(long, env = "RELAY_POSTGRES_URL")]
    postgres: Option<String>,
    /// Measure once and print a line a case: what a turn is
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.once {
        return once(&arguments).await;
    }
    let builds = builds(arguments.against)?;
    let mut words = vec![
        "--once".to_owned(),
        "--under".to_owned(),
        arguments.under.display().to_string(),
    ];
    words.extend(arguments.postgres.map(|url| format!("--postgres={url}")));
    let mut seen: BTreeMap<(String, Case), Vec<Vec<Figures>>> = BTreeMap::new();
    for run in 1..=arguments.runs {
        for (number, build) in builds.iter().enumerate() {
            for line in build.run(&words)?.lines() {
                let line: Line = line.parse()?;
                let row = seen.entry((line.store, line.case)).or_default();
                row.resize(builds.len(), Vec::new());
                row[number].push(line.figures);
            }
        }
        eprintln!("run {run} of {}", arguments.runs);
    }
    let names: Vec<&str> = builds.iter().map(|build| build.name).collect();
    print(&seen, &names);
    Ok(())
}

/// Measures every case once on each store.
async fn once(arguments: &Arguments) -> Result<()> {
    for case in Case::ALL {
        let folder = tempfile::tempdir_in(&arguments.under)?;
        let store = SqliteStore::open(&folder.path().join("relay.sqlite")).await?;
        one("sqlite", &store, case).await?;
    }
    let Some(url) = &arguments.postgres else {
        return Ok(());
    };
    let store = PostgresStore::connect(PostgresOptions::new(url.clone()))?;
    for case in Case::ALL {
        store.forget_all().await?;
        one("postgres", &store, case).await?;
    }
    Ok(())
}

async fn one(name: &str, store: &dyn Outcomes, case: Case) -> Result<()> {
    let figures = measure(store, &outcomes::batches(case)).await?;
    let store = name.to_owned();
    println!("{}", Line { store, case, figures });
    Ok(())
}

/// The medians, in Markdown: a line a case, its builds side by side.
fn print(seen: &BTreeMap<(String, Case), Vec<Vec<Figures>>>, builds: &[&str]) {
    let builds = builds.join(", ");
    println!(
        "| store | outcomes a transaction | body bytes | CPU µs/trace ({builds}) | ms/transaction ({builds}) |"
    );
    println!("|---|--:|--:|--:|--:|");
    for ((store, case), turns) in seen {
        let of = |figure: fn(&Figures) -> f64| {
            let medians = turns
                .iter()
                .map(|turns| median(turns.iter().map(figure).collect()));
            medians
                .map(|median| format!("{median:.1}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (cpu, wall) = (of(|figures| figures.cpu_us), of(|figures| figures.wall_ms));
        println!("| {store} | {} | {} | {cpu} | {wall} |", case.records, case.body);
    }
}
