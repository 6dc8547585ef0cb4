//! Benchmarks: the hop, the sink, the pipeline and its allocations.

pub mod allocations;
pub mod cost;
pub mod hop;
pub mod pace;
pub mod pipeline;
pub mod profile;
pub mod quantiles;
pub mod sink;
pub mod threads;
pub mod turns;
