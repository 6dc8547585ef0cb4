//! Three quantiles of a latency, side by side.

use std::fmt;

use crate::quantiles;

/// p50, p95 and p99, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency([f64; 3]);

impl Latency {
    /// Of a sample of milliseconds.
    pub fn of(sample: &[f64]) -> Self {
        Self(quantiles::of(sample.to_vec(), [0.5, 0.95, 0.99]))
    }

    /// Quantile less quantile.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] - other.0[at]))
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, p99] = self.0;
        write!(f, "p50 {p50:>6.2}  p95 {p95:>6.2}  p99 {p99:>6.2} ms")
    }
}
