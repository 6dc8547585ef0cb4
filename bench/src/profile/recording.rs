//! Taking the samples, by `perf`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::stacks::{Sample, read};
use super::{Profile, places};
use crate::threads;

/// Samples a second of each processor that is busy. No divisor of a second's usual parts, so that nothing periodic is met more often
/// than it runs.
const FREQUENCY: u32 = 251;
/// How much of a stack is kept of each sample, bytes: services are futures in futures.
const DEPTH: u32 = 48 * 1024;

/// Takes samples of `processes` for `lasting`. It blocks, and holds some 12 MiB a second of a busy processor on disk until it is done.
///
/// # Errors
/// Where `perf` cannot be run, or is not allowed to.
pub fn record(processes: &[u32], lasting: Duration) -> anyhow::Result<Profile> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("perf.data");
    let ids: Vec<String> = processes.iter().map(u32::to_string).collect();
    let counted = || -> f64 { processes.iter().map(|process| threads::cpu_s(*process)).sum() };
    let (before, began) = (counted(), Instant::now());
    let recorded = Command::new("perf")
        .args([
            "record",
            "--quiet",
            "-e",
            "cpu-clock",
            "-F",
            &FREQUENCY.to_string(),
        ])
        .args([
            "--call-graph",
            &format!("dwarf,{DEPTH}"),
            "-p",
            &ids.join(","),
            "-o",
        ])
        .arg(&file)
        .args(["--", "sleep", &lasting.as_secs_f64().to_string()])
        .output()
        .context("`perf` cannot be run: Debian has it as linux-perf")?;
    let (counted_s, counted_for) = (counted() - before, began.elapsed());
    ensure!(
        recorded.status.success(),
        "perf record: {}: {}",
        recorded.status,
        String::from_utf8_lossy(&recorded.stderr).trim()
    );
    let printed = Command::new("perf")
        .args(["script", "--no-inline", "-F", "comm,tid,ip,sym,dso", "-i"])
        .arg(&file)
        .output()?;
    ensure!(printed.status.success(), "perf script: {}", printed.status);
    let mut samples: Vec<Sample> = read(&String::from_utf8_lossy(&printed.stdout));
    places::resolve(&mut samples)?;
    Ok(Profile {
        samples,
        period_s: 1.0 / f64::from(FREQUENCY),
        sampled_for_s: lasting.as_secs_f64(),
        counted_s,
        counted_for_s: counted_for.as_secs_f64(),
        requests: 0.0,
    })
}
