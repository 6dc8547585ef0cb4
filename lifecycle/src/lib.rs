//! What a request may become, who may end it, and how its answer is followed. Pure: no I/O, no clock, no logging.

mod cache_key;
mod digest;
mod ending;
mod follower;
mod handover;
pub mod life;
pub mod transcript;
mod tries;
mod unended;

pub use cache_key::cache_key;
pub use digest::Digest;
pub use ending::{Ending, Known, end, final_of, last_frame};
pub use follower::{Broken, Follower, Patience, Step, is_of_another_body, is_success};
pub use handover::{Reason, attempts_before, handed_over, next_pool};
pub use transcript::Transcript;
pub use tries::{Tries, binds_key};
pub use unended::{Moment, OpenRequest, Overdue, Unended};
