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
    // Its batch half is a stage: lines in, results out.
    "ingress.before_publish",
    "ingress.after_publish",
    "ingress.before_commit",
    "ingress.after_commit",
    "planner.before_publish",
    "planner.after_publish",
    "planner.before_commit",
    "planner.after_commit",
    "planner.before_final",
    "planner.after_final",
    "cache-service.before_publish",
    "cache-service.after_publish",
    "cache-service.before_commit",
    "cache-service.after_commit",
    "cache-service.before_final",
    "cache-service.after_final",
    "scheduler.before_lead",
    "scheduler.after_lead",
    "scheduler.before_lease",
    "scheduler.after_lease",
    "scheduler.before_hand_over",
    "scheduler.after_hand_over",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::POINTS;

    /// The services' own points; those of the runner are the same in each.
    fn in_source(service: &str, folder: &Path, found: &mut BTreeSet<String>) {
        for entry in folder.read_dir().expect("it is in the checkout").flatten() {
            let path = entry.path();
            if path.is_dir() {
                in_source(service, &path, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("it is text");
            for call in source.split("crash_point(").skip(1) {
                // A call begins with the service; an import does not.
                if let Some(moment) = call.split(')').next().and_then(|call| call.split('"').nth(1)) {
                    found.insert(format!("{service}.{moment}"));
                }
            }
        }
    }

    #[test]
    fn every_crash_point_of_a_service_is_in_the_list() {
        let mut found = BTreeSet::new();
        for service in crate::production::SERVICES {
            in_source(
                service,
                &crate::files::root().join(service).join("src"),
                &mut found,
            );
        }
        assert!(found.contains("planner.before_final"), "the search finds nothing");
        found.retain(|point| !POINTS.contains(&point.as_str()));
        assert_eq!(found, BTreeSet::new());
    }
}
