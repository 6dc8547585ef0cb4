//! Crash points: named places at which a test build can be told to die as if by `kill -9`.
//!
//! `RELAY_CRASH_AT=planner.before_publish` aborts at the first pass, `planner.before_publish:3` at the third. Without the
//! feature `crash-points` the call is empty and disappears.

/// Dies here, if the environment asks for it.
#[inline]
pub fn crash_point(service: relay_schemas::Service, moment: &'static str) {
    #[cfg(feature = "crash-points")]
    armed::pass(service, moment);
    #[cfg(not(feature = "crash-points"))]
    let _ = (service, moment);
}

/// Whether a publish and its commits are to be two steps, because the test asks for a death between them.
///
/// A bus may take both in one atomic step, and then there is no such moment; but the contract does not promise it, so what
/// follows from a death there must hold on every bus.
pub(crate) fn separates_commits(service: relay_schemas::Service) -> bool {
    #[cfg(feature = "crash-points")]
    return ["after_publish", "before_commit"]
        .into_iter()
        .any(|moment| armed::is_at(service, moment));
    #[cfg(not(feature = "crash-points"))]
    {
        let _ = service;
        false
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use relay_schemas::Service;

    struct Armed {
        point: String,
        on_pass: u32,
        passes: AtomicU32,
    }

    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let asked = std::env::var("RELAY_CRASH_AT").ok()?;
        let (point, on_pass) = match asked.split_once(':') {
            Some((point, pass)) => (point.to_owned(), pass.parse().ok()?),
            None => (asked, 1),
        };
        Some(Armed {
            point,
            on_pass,
            passes: AtomicU32::new(0),
        })
    });

    pub(super) fn is_at(service: Service, moment: &str) -> bool {
        let Some(armed) = &*ARMED else { return false };
        let rest = armed.point.strip_prefix(service.name());
        rest.and_then(|rest| rest.strip_prefix('.')) == Some(moment)
    }

    pub(super) fn pass(service: Service, moment: &str) {
        let Some(armed) = &*ARMED else { return };
        if is_at(service, moment) && armed.passes.fetch_add(1, Ordering::SeqCst) + 1 == armed.on_pass {
            std::process::abort();
        }
    }
}
