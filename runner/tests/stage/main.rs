//! The stage runner on the embedded log: what it promises to stages and to requests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod classes;
mod delivery;
mod poison;
mod put_off;
mod versions;
