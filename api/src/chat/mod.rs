//! `POST /v1/chat/completions`.

mod message;
pub mod parse;
pub mod render;
pub mod stream;
mod tools;

pub use message::{Content, Message, Part, Role, ToolCall};
pub use parse::Chat;
pub use tools::{CalledFunction, Function, Tool};
