//! The reply and control seam: reply frames, statuses, cancels and questions, in process or over NATS.
//!
//! What it carries may be lost: everything on it is repeated, asked for again, or absolute. Only this crate knows `async-nats`.

mod api;
mod frames;
mod helpers;
mod in_process;
mod nats;
mod queue;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod subjects;

pub use api::{Control, ControlError, Delivery, Message, Subscription};
pub use frames::{final_frames, finish, room, split};
pub use helpers::{Listener, ask, listen, send, serve, serve_some};
pub use in_process::{InProcessControl, InProcessOptions};
pub use nats::{NatsControl, NatsOptions};
