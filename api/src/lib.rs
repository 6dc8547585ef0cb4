//! The operations of the HTTP API: their requests, answers, events and errors, as JSON.
//!
//! A leaf over the records: no service, no I/O, no clock. A folder an operation, each with `parse`, `render` and `stream`;
//! [`request`] is the door that they share.
//!
//! A body is read twice and kept once. What Relay knows of it is typed and checked; the body itself stays the text that came,
//! and goes upstream as that text, changed only member by member ([`raw::Object`]). `#[serde(flatten)]` and
//! `serde_json::Value` are not used on bodies: both would read 9007199254740993 as 9007199254740992 and refuse 1e400.

pub mod canonical;
pub mod chat;
pub mod completions;
pub mod embeddings;
pub mod error;
pub mod json;
pub mod limits;
mod members;
pub mod models;
pub mod names;
pub mod omitted;
pub mod raw;
mod read;
pub mod request;
pub mod response;
pub mod sampling;
pub mod tokens;
pub mod values;

pub use error::Invalid;
pub use limits::Limits;
