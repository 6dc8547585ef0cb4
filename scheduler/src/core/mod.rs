//! The decisions of one pool's scheduler: a state machine without I/O, clock or log.
//!
//! Inputs are folded by the offsets they lie at, effects come back as values, time is an argument. Until [`Core::lead`]
//! it only folds: what a predecessor wrote becomes what this one knows.
//!
//! [`Core`] (`scheduler`) is made of parts that guard their own invariants: `requests` (what has not ended), `queues` (who comes
//! next), `workers` (who can take it), `recovery` (what the log has told), `effects` (what is to be done), and the small
//! `recent`, `rate`, `counts`, `blocked`. `moves` takes a request between them. `impl Core` is one file an input: `offers`, `works`,
//! `outcomes`, `statuses`, `cancels`, then what follows from them: `dispatch`, `revoke`, `handovers`, `unserved`, `time`; and `snapshot`, `folded`, `view`.

mod blocked;
mod cancels;
mod counts;
mod dispatch;
mod effects;
mod folded;
mod handovers;
mod moves;
mod offers;
mod outcomes;
mod queues;
mod rate;
mod recent;
mod recovery;
mod requests;
mod revoke;
mod scheduler;
mod snapshot;
mod statuses;
mod time;
mod unserved;
mod view;
mod workers;
mod works;

pub use counts::Counts;
pub use effects::{Dispatch, Effect, HandOver};
pub use queues::{MILLI, W_IN, W_OUT, cost};
pub use recovery::{At, Ends, Input, Offsets};
pub use requests::{Attempt, Doubted, Offer};
pub use scheduler::Core;
