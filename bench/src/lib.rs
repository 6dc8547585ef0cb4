//! Benchmarks: the hop and the pipeline.

pub mod hop;
pub mod pipeline;
