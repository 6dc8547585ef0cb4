//! `POST /v1/embeddings`. Vectors are not streamed.

pub mod parse;
pub mod render;

pub use parse::{Embeddings, Encoding};
