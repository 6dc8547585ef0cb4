//! What the whole pipeline adds to a request: open loop at a fixed rate against a mock backend of zero latency.

pub mod hops;
pub mod load;
