//! An answer as it comes: deltas taken in, in order, and what follows behind what a client has seen of it.
//!
//! The emitter, the follower, the cache's hits and the batch's results speak of answers through this alone, so that what is
//! streamed, recorded, cached and told again is one thing. Its parts: `state` takes in, `rest` compares two, `extra` joins
//! the fields that nobody here knows, `pieces` cuts deltas to size and joins them.

mod extra;
mod pieces;
mod rest;
mod state;

pub use pieces::{embedding_pieces, embedding_weight, indivisible, join, pieces, weight};
pub use rest::deltas_of;
pub use state::Transcript;
