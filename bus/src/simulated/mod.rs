//! The log of a simulated world: the real embedded log on a simulated disk, and between it and each simulated process what lies
//! between a process and its log in the world, with everything that goes wrong there.
//!
//! One thread, paused time, one seed: the same calls in the same order are the same run. A process meets the log as one of two
//! columns do: in its own process (a publish is atomic with its commits, and both end together), or as brokers far away (`lanes`:
//! each partition's records travel by themselves; `commits` come behind; `session`: whoever is silent loses its place in a group).

mod bus;
mod commits;
mod consumer;
mod faults;
mod lanes;
mod log;
mod process;
mod reader;
mod seat;
mod session;
mod world;

pub use bus::ProcessBus;
pub use faults::{Faults, Happened};
pub use log::SimulatedLog;
pub use process::Column;
pub use world::Fall;
