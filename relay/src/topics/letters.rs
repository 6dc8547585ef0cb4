//! Dead letters: listed, shown, put back where they came from, discarded.
//!
//! The log only grows, so a letter is closed by a record behind it, in its own partition: whatever retention lets go of, it never
//! lets go of the closing before the letter.

mod closing;
mod letter;
mod original;
mod scan;
mod verdict;
mod wanted;

pub use closing::{Who, close};
pub use scan::Scan;
pub use wanted::Wanted;
