//! All services' pure cores in virtual time, with faults; and in [`shipped`] the services themselves.
//!
//! Of the former, real are the planner's decision under a policy, the cache's keys, entries, eligibility and lookup, the scheduler's core and
//! leadership, the workers' books, the ingress's follower and its sweeper's memory, the store's rule of who won, and the rules of who may end a request.
//! Simulated, without encoding, are the log and the control seam around them, where the cache's entries lie, what models say, and
//! the loops that read, publish and ask. A [`Schedule`] follows from its seed; [`violations`] runs it and judges the end. Faults: crash, duplicate, reorder, drop, zombie, slow, partition, late cancel, lost, a log that stands still, clocks that are set.

mod cache_service;
mod check;
mod client;
mod clocks;
mod faults;
mod happening;
mod ingress;
mod landing;
mod log;
mod network;
mod planner;
pub mod schedule;
mod scheduler;
pub mod shipped;
mod shrink;
mod sink;
mod stage;
mod sweeper;
mod worker;
mod world;

pub use schedule::Schedule;
pub use shrink::shrink;
pub use world::{Sabotage, World};

/// Runs `schedule`; what did not hold. Empty is what is promised.
pub fn violations(schedule: &Schedule, sabotage: Sabotage) -> Vec<String> {
    let mut world = World::new(schedule, sabotage, false);
    world.run();
    check::check(&world)
}

/// The same with what happened, line by line, for people.
pub fn replay(schedule: &Schedule, sabotage: Sabotage) -> (Vec<String>, Vec<String>) {
    let mut world = World::new(schedule, sabotage, true);
    world.run();
    (world.history().to_vec(), check::check(&world))
}
