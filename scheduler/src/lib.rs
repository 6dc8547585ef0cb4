//! Consumes `ready`, produces `work` and outcomes, owns who runs what and when; if it dies, a standby rebuilds the queues from the log and goes on.

pub mod core;
mod config;

pub use config::{Config, Fairness};
