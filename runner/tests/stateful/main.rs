//! The stateful stage on the embedded log: who leads, what a successor begins with, and what is published in which order.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod outlets;
mod takeover;
mod tally;
