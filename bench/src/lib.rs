//! Benchmarks: the hop and the pipeline.

pub mod hop;
