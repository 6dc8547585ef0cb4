//! The operations of the HTTP API: their requests, answers, events and errors, as JSON.
//!
//! A leaf over the records: no service, no I/O, no clock. What Relay does not know of a body is kept as the text that came
//! ([`raw::Object`]), never as a parsed value: `#[serde(flatten)]` and [`serde_json::Value`] would read 9007199254740993 as
//! 9007199254740992 or refuse 1e400, and what goes upstream must be what the client sent.

pub mod raw;
