//! Benchmarks: the hop and the pipeline.
