//! The scheduler's tests: the rules of the core, its promises on random schedules, and the shell on a real log.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod away;
mod backlog;
mod capacity;
mod clocks;
mod damaged;
mod elsewhere;
mod ending;
mod fairness;
mod handovers;
mod hostile;
mod kept;
mod leases;
mod lifts;
mod lost;
mod promises;
mod records;
mod recovery;
mod rules;
mod shell;
mod takeover;
mod unread;
mod unserved;
mod view;
mod wakeups;
mod world;
