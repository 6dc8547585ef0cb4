//! `POST /v1/completions`, the older operation: a prompt is gone on with.

pub mod logprobs;
pub mod parse;
pub mod render;
pub mod stream;

pub use parse::Completion;
