//! What a run cost, and the median of several.

use std::time::Instant;

use anyhow::{Context, Result};

use super::written::Meter;
use crate::quantiles;

/// What has been spent so far, as the kernel counts it, and when.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    at: Instant,
    cpu_s: f64,
    written: Option<u64>,
    resident_mib: f64,
}

impl Spent {
    /// User and system time and memory of this process, and the bytes that `meter` shows.
    pub fn now(meter: &Meter) -> Result<Self> {
        let process = std::process::id();
        Ok(Self {
            at: Instant::now(),
            cpu_s: crate::cost::cpu_s(process).context("/proc/self/stat")?,
            written: meter.bytes(),
            resident_mib: crate::cost::resident_mib(process).context("/proc/self/status")?,
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
    /// Records that came out a second.
    pub per_second: f64,
    /// By how much this process had grown since before the bus was opened, generator included; mebibytes.
    pub grown_mib: f64,
}

impl Figures {
    /// From the latencies of a run, and what was spent at its start at its end, and before the bus was opened.
    pub fn of(latencies: Vec<f64>, unopened: Spent, before: Spent, after: Spent) -> Self {
        let count = latencies.len() as f64;
        let lasted = after.at.saturating_duration_since(before.at).as_secs_f64();
        let written = after.written.zip(before.written);
        Self {
            latency_ms: quantiles::of(latencies, [0.5, 0.95, 0.99]),
            cpu_us: (after.cpu_s - before.cpu_s) * 1e6 / count.max(1.0),
            written_kib: written
                .map(|(after, before)| after.saturating_sub(before) as f64 / 1024.0 / count.max(1.0)),
            per_second: count / lasted.max(f64::MIN_POSITIVE),
            grown_mib: after.resident_mib - unopened.resident_mib,
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
            per_second: of(|run| run.per_second),
            grown_mib: of(|run| run.grown_mib),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        reason = "nearest ranks are values of the sample, to the bit; halves of small integers are exact"
    )]

    use std::time::Duration;

    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample_and_costs_are_per_record() {
        let before = Spent {
            at: Instant::now(),
            cpu_s: 1.0,
            written: Some(0),
            resident_mib: 30.0,
        };
        let unopened = Spent {
            resident_mib: 20.0,
            ..before
        };
        let after = Spent {
            at: before.at + Duration::from_secs(2),
            cpu_s: 1.5,
            written: Some(102_400),
            resident_mib: 28.0,
        };
        let latencies: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let figures = Figures::of(latencies.clone(), unopened, before, after);
        assert_eq!(figures.latency_ms, [50.0, 95.0, 99.0]);
        assert!((figures.cpu_us - 5000.0).abs() < 1e-6);
        assert_eq!(figures.written_kib, Some(1.0));
        assert_eq!((figures.per_second, figures.grown_mib), (50.0, 8.0));
        let uncounted = Spent {
            written: None,
            ..after
        };
        assert_eq!(
            Figures::of(latencies, unopened, before, uncounted).written_kib,
            None
        );
    }

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let run = |p50: f64, cpu_us: f64, written_kib| Figures {
            latency_ms: [p50, 0.0, 0.0],
            cpu_us,
            written_kib,
            per_second: 0.0,
            grown_mib: 0.0,
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
