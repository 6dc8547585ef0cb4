//! The reply and control seam: reply frames, statuses, cancels and questions, in process or over NATS.
//!
//! What it carries may be lost: everything on it is repeated, asked for again, or absolute. Only this crate knows `async-nats`.

mod api;
pub mod subjects;

pub use api::{Control, ControlError, Event, Message, Subscription};
