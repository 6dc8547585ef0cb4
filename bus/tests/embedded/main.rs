//! What only the embedded log promises: it is a set of files, and whatever happens to the process, the power or the disk, what
//! was acknowledged is still there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod faults;
mod guarded;
mod house;
mod inline;
mod killing;
mod power;
mod reopening;
mod retention;
mod unread;
