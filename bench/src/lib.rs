//! Benchmarks: the hop and the pipeline.

pub mod cost;
pub mod hop;
pub mod pace;
pub mod pipeline;
pub mod quantiles;
