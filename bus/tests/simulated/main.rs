//! The simulated log: each thing that can go wrong between a process and its log goes wrong, on paused time and at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod falling;
mod groups;
mod house;
mod publishing;
mod seeds;
mod service;
