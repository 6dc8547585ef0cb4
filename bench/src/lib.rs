//! Benchmarks: the hop, the sink and the pipeline.

pub mod cost;
pub mod hop;
pub mod pace;
pub mod pipeline;
pub mod profile;
pub mod quantiles;
pub mod sink;
pub mod threads;
pub mod turns;
