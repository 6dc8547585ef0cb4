//! What a run cost, and the median of several.

use anyhow::{Context, Result};

use super::written::Meter;
use crate::quantiles;

/// What has been spent so far, as the kernel counts it.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    cpu_s: f64,
    written: Option<u64>,
}

impl Spent {
    /// User and system time of this process, and the bytes that `meter` shows.
    pub fn now(meter: &Meter) -> Result<Self> {
        Ok(Self {
            cpu_s: crate::cost::cpu_s(std::process::id()).context("/proc/self/stat")?,
            written: meter.bytes(),
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
    /// Kibibytes that the log's keeper wrote to storage a record, where they could be counted.
    pub written_kib: Option<f64>,
}

impl Figures {
    /// From the latencies of a run and what was spent before and after it.
    pub fn of(latencies: Vec<f64>, before: Spent, after: Spent) -> Self {
        let count = latencies.len().max(1) as f64;
        let written = after.written.zip(before.written);
        Self {
            latency_ms: quantiles::of(latencies, [0.5, 0.95, 0.99]),
            cpu_us: (after.cpu_s - before.cpu_s) * 1e6 / count,
            written_kib: written.map(|(after, before)| after.saturating_sub(before) as f64 / 1024.0 / count),
        }
    }

    /// The median of each figure by itself.
    pub fn median(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| quantiles::median(runs.iter().map(figure).collect());
        let written: Option<Vec<f64>> = runs.iter().map(|run| run.written_kib).collect();
        Self {
            latency_ms: [
                of(|run| run.latency_ms[0]),
                of(|run| run.latency_ms[1]),
                of(|run| run.latency_ms[2]),
            ],
            cpu_us: of(|run| run.cpu_us),
            written_kib: written.map(quantiles::median),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        reason = "nearest ranks are values of the sample, to the bit; halves of small integers are exact"
    )]

    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample_and_costs_are_per_record() {
        let before = Spent {
            cpu_s: 1.0,
            written: Some(0),
        };
        let after = Spent {
            cpu_s: 1.5,
            written: Some(102_400),
        };
        let latencies: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let figures = Figures::of(latencies.clone(), before, after);
        assert_eq!(figures.latency_ms, [50.0, 95.0, 99.0]);
        assert!((figures.cpu_us - 5000.0).abs() < 1e-6);
        assert_eq!(figures.written_kib, Some(1.0));
        let uncounted = Spent {
            written: None,
            ..after
        };
        assert_eq!(Figures::of(latencies, before, uncounted).written_kib, None);
    }

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let run = |p50: f64, cpu_us: f64, written_kib| Figures {
            latency_ms: [p50, 0.0, 0.0],
            cpu_us,
            written_kib,
        };
        let three = [
            run(3.0, 10.0, Some(5.0)),
            run(1.0, 30.0, Some(4.0)),
            run(2.0, 20.0, Some(6.0)),
        ];
        assert_eq!(Figures::median(&three), run(2.0, 20.0, Some(5.0)));
        let two = [run(3.0, 10.0, Some(5.0)), run(1.0, 30.0, None)];
        assert_eq!(Figures::median(&two), run(2.0, 20.0, None));
    }
}
