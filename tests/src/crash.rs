//! Every crash point, once. A point that no run reaches fails the proof.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Whether a process ended as a crash point ends it, and not by an error of its own.
pub fn is_crash(status: ExitStatus) -> bool {
    /// What `abort` raises, see signal(7).
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}

/// `service.moment`, in the order of a request's life.
pub const POINTS: &[&str] = &[
    "ingress.before_accept",
    "ingress.after_accept",
    "planner.before_publish",
    "planner.after_publish",
    "planner.before_commit",
    "planner.after_commit",
    "cache-service.before_publish",
    "cache-service.after_publish",
    "cache-service.before_commit",
    "cache-service.after_commit",
    "scheduler.before_lead",
    "scheduler.after_lead",
    "scheduler.before_lease",
    "scheduler.after_lease",
    "scheduler.before_snapshot",
    "scheduler.after_snapshot",
    "scheduler.before_outcome",
    "scheduler.after_outcome",
    "scheduler.before_final",
    "scheduler.after_final",
    "workers.before_run",
    "workers.first_token",
    "workers.before_publish",
    "workers.after_publish",
    "workers.before_commit",
    "workers.after_commit",
    "workers.before_final",
    "workers.after_final",
    "trace-sink.before_commit",
    "trace-sink.after_commit",
    "ingress.before_finish",
    "ingress.after_finish",
];
