//! Where a process spends its CPU time: stacks that the kernel took of it while it worked, sorted by the rooms of the house that they
//! pass through. The executable is the one that ships: nothing is built into it for this.

pub mod place;
pub mod places;
pub mod recording;
pub mod stacks;
pub mod stages;
pub mod table;

use self::stacks::Sample;

/// What was taken of some processes.
#[derive(Debug, Default)]
pub struct Profile {
    /// Each stands for as much time as the next.
    pub samples: Vec<Sample>,
    /// What one stands for, seconds.
    pub period_s: f64,
    /// For how long samples were taken, seconds.
    pub sampled_for_s: f64,
    /// What the scheduler counted for these processes, seconds: what the samples are held against.
    pub counted_s: f64,
    /// For how long it counted: somewhat longer, as `perf` takes a while to begin and to end.
    pub counted_for_s: f64,
    /// Requests that ended while it counted.
    pub requests: f64,
}

impl Profile {
    /// Takes in what was taken at another time.
    pub fn extend(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.period_s = self.period_s.max(other.period_s);
        self.sampled_for_s += other.sampled_for_s;
        self.counted_s += other.counted_s;
        self.counted_for_s += other.counted_for_s;
        self.requests += other.requests;
    }

    /// How many processors were busy, by the samples.
    pub fn sampled(&self) -> f64 {
        self.samples.len() as f64 * self.period_s / self.sampled_for_s
    }

    /// How many were by the scheduler's count.
    pub fn counted(&self) -> f64 {
        self.counted_s / self.counted_for_s
    }

    /// Microseconds of CPU time a request, by the scheduler's count.
    pub fn cpu_us(&self) -> f64 {
        self.counted_s * 1e6 / self.requests
    }
}
