//! Runs many seeds on all cores.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which seeds, and what to do about a failure.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    pub from: u64,
    pub to: u64,
    /// Whether to go on after a failure and name every failing seed.
    pub every: bool,
}

impl Seeds {
    /// The lowest failing seed that any thread finds before all stop. `check` says what does not hold.
    pub fn first_failure(self, what: &str, check: impl Fn(u64) -> Option<String> + Sync) -> Option<u64> {
        let (next, failed) = (AtomicU64::new(self.from), AtomicU64::new(u64::MAX));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.to || !self.every && failed.load(Ordering::Relaxed) < seed {
                            return;
                        }
                        if let Some(wrong) = check(seed) {
                            failed.fetch_min(seed, Ordering::Relaxed);
                            if self.every {
                                println!("seed {seed}: {wrong}");
                            }
                        }
                        if seed % 50_000 == 0 && seed > self.from {
                            eprintln!("{} of {} {what}", seed - self.from, self.to - self.from);
                        }
                    }
                });
            }
        });
        Some(failed.into_inner()).filter(|seed| *seed != u64::MAX)
    }
}
