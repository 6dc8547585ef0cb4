//! What it costs to keep a trace: outcomes as a request leaves them behind, folded in transactions of one size.

pub mod outcomes;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Context, ensure};
use relay_store::{Advance, Folded, LoggedOutcome, Outcomes, Verdict};

use crate::threads;

/// What one run folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// Outcomes of one transaction.
    pub records: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// Transactions.
    pub folds: usize,
}

impl Case {
    /// One by one; what 5 ms bring at 2,500 requests a second; more than that; what one transaction takes at most; large prompts.
    pub const ALL: [Self; 5] = [
        Self {
            records: 1,
            body: 150,
            folds: 600,
        },
        Self {
            records: 12,
            body: 150,
            folds: 300,
        },
        Self {
            records: 60,
            body: 150,
            folds: 80,
        },
        Self {
            records: 256,
            body: 150,
            folds: 24,
        },
        Self {
            records: 4,
            body: 300_000,
            folds: 20,
        },
    ];
}

/// What a trace cost in one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// User and system time of this process, microseconds a trace.
    pub cpu_us: f64,
    /// Time that passed, milliseconds a transaction: the disk's or the server's included.
    pub wall_ms: f64,
}

/// A line of what `--once` prints.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `sqlite` or `postgres`.
    pub store: String,
    /// What was folded.
    pub case: Case,
    /// What it cost.
    pub figures: Figures,
}

/// Folds `batches`, each in one transaction, and says what that cost. The first is not counted: with it statements are prepared.
///
/// # Errors
/// Where a fold fails, or somebody else's outcome wins.
pub async fn measure(store: &dyn Outcomes, batches: &[Vec<LoggedOutcome>]) -> anyhow::Result<Figures> {
    let (first, batches) = batches.split_first().context("nothing is to be folded")?;
    let mut stands: BTreeMap<i32, Folded> = BTreeMap::new();
    fold(store, first, &mut stands).await?;
    let process = std::process::id();
    let (cpu, began) = (threads::cpu_s(process), Instant::now());
    for batch in batches {
        fold(store, batch, &mut stands).await?;
    }
    let (cpu, wall) = (threads::cpu_s(process) - cpu, began.elapsed());
    let traces = batches.iter().map(Vec::len).sum::<usize>();
    Ok(Figures {
        cpu_us: cpu * 1e6 / traces as f64,
        wall_ms: wall.as_secs_f64() * 1e3 / batches.len() as f64,
    })
}

async fn fold(
    store: &dyn Outcomes,
    batch: &[LoggedOutcome],
    stands: &mut BTreeMap<i32, Folded>,
) -> anyhow::Result<()> {
    let verdicts = store.fold(batch, &advances(stands, batch)).await?;
    let won = verdicts.iter().all(|verdict| *verdict == Verdict::Won);
    ensure!(won, "each request has one outcome");
    Ok(())
}

/// The steps of the partitions in which `batch` lies, as the sink takes them.
fn advances(stands: &mut BTreeMap<i32, Folded>, batch: &[LoggedOutcome]) -> Vec<Advance> {
    let mut steps: BTreeMap<i32, Advance> = BTreeMap::new();
    for logged in batch {
        let from = stands.get(&logged.partition).map(|at| at.next);
        let to = Folded {
            next: logged.offset + 1,
            whole_from: 0,
        };
        let step = Advance {
            partition: logged.partition,
            from,
            to,
        };
        steps.entry(logged.partition).or_insert(step).to = to;
    }
    stands.extend(steps.iter().map(|(partition, step)| (*partition, step.to)));
    steps.into_values().collect()
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { records, body, folds } = self.case;
        let Figures { cpu_us, wall_ms } = self.figures;
        write!(f, "{} {records} {body} {folds} {cpu_us} {wall_ms}", self.store)
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [store, records, body, folds, cpu_us, wall_ms] = words[..] else {
            anyhow::bail!("`{line}` is no line of figures");
        };
        let read = || format!("`{line}` is no line of figures");
        Ok(Self {
            store: store.to_owned(),
            case: Case {
                records: records.parse().with_context(read)?,
                body: body.parse().with_context(read)?,
                folds: folds.parse().with_context(read)?,
            },
            figures: Figures {
                cpu_us: cpu_us.parse().with_context(read)?,
                wall_ms: wall_ms.parse().with_context(read)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use relay_store::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn every_trace_that_is_measured_is_kept_and_the_partitions_go_on() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(&folder.path().join("relay.sqlite")).await?;
        let case = Case {
            records: 7,
            body: 100,
            folds: 3,
        };
        let figures = measure(&store, &outcomes::batches(case)).await?;
        // The CPU time is that of the threads which live: other tests of this process begin and end some meanwhile.
        assert!(figures.wall_ms > 0.0);
        assert_eq!(relay_store::Traces::count(&store).await?, 21);
        let next: i64 = store.folded().await?.values().map(|at| at.next).sum();
        assert_eq!(next, 21, "each record is behind its partition's end");
        Ok(())
    }

    #[test]
    fn a_line_is_read_as_it_was_written() -> anyhow::Result<()> {
        let line = Line {
            store: "sqlite".to_owned(),
            case: Case::ALL[1],
            figures: Figures {
                cpu_us: 23.5,
                wall_ms: 0.75,
            },
        };
        assert_eq!(line.to_string().parse::<Line>()?, line);
        assert!("sqlite 12".parse::<Line>().is_err());
        Ok(())
    }
}
