//! What the whole pipeline adds to a request, and what it costs: a gateway in front of a mock backend of zero latency.

pub mod hops;
pub mod latency;
pub mod load;
pub mod parts;
pub mod streams;
pub mod target;
