//! What a run cost, and the median of several.

use std::fs;

use anyhow::{Context, Result};

use crate::quantiles;

/// What this process has spent so far, as the kernel counts it.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    cpu_s: f64,
    written: u64,
}

impl Spent {
    /// User and system time from `/proc/self/stat`, bytes sent to storage from `/proc/self/io`.
    pub fn now() -> Result<Self> {
        let io = fs::read_to_string("/proc/self/io")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(Self {
            cpu_s: crate::cost::cpu_s(std::process::id()).context("/proc/self/stat")?,
            written: written.context("/proc/self/io")?.parse()?,
        })
    }
}

/// One run, or the medians of several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Median, 95th and 99th percentile of the way through all hops, milliseconds.
    pub latency_ms: [f64; 3],
    /// User and system time of this process a record, all hops, generator included; microseconds.
    pub cpu_us: f64,
    /// Kibibytes that this process wrote to storage a record.
    pub written_kib: f64,
}

impl Figures {
    /// From the latencies of a run and what was spent before and after it.
    pub fn of(latencies: Vec<f64>, before: Spent, after: Spent) -> Self {
        let count = latencies.len().max(1) as f64;
        Self {
            latency_ms: quantiles::of(latencies, [0.5, 0.95, 0.99]),
            cpu_us: (after.cpu_s - before.cpu_s) * 1e6 / count,
            written_kib: (after.written - before.written) as f64 / 1024.0 / count,
        }
    }

    /// The median of each figure by itself.
    pub fn median(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            latency_ms: [
                of(|run| run.latency_ms[0]),
                of(|run| run.latency_ms[1]),
                of(|run| run.latency_ms[2]),
            ],
            cpu_us: of(|run| run.cpu_us),
            written_kib: of(|run| run.written_kib),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        reason = "nearest ranks are values of the sample, to the bit"
    )]

    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample_and_costs_are_per_record() {
        let before = Spent {
            cpu_s: 1.0,
            written: 0,
        };
        let after = Spent {
            cpu_s: 1.5,
            written: 102_400,
        };
        let figures = Figures::of((1..=100).rev().map(f64::from).collect(), before, after);
        assert_eq!(figures.latency_ms, [50.0, 95.0, 99.0]);
        assert!((figures.cpu_us - 5000.0).abs() < 1e-6);
        assert!((figures.written_kib - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let run = |p50: f64, cpu_us: f64| Figures {
            latency_ms: [p50, 0.0, 0.0],
            cpu_us,
            written_kib: 0.0,
        };
        let median = Figures::median(&[run(3.0, 10.0), run(1.0, 30.0), run(2.0, 20.0)]);
        assert_eq!((median.latency_ms[0], median.cpu_us), (2.0, 20.0));
    }
}
