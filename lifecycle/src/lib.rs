//! What a request may become, and who may end it. Pure: no I/O, no clock, no logging.

mod ending;

pub use ending::{Ending, Known, end, final_of, may_end};
